// Package screenshots opens the pages that Redoubt makes for people, the parent's status page and bench's report, in
// headless Chromium, and keeps the pictures that the READMEs show.
//
// Its tests (build tag screens; `make test-screens`) check the pages as rendered: no message on the console, no breach
// of the content security policy, no request that leaves the page's origin, no plaintext of a record, everything that
// was measured shown and live, readable in light and dark at 400 and at 1280 pixels, structure that a screen reader can
// follow. One test shows that each of these checks can fail. `make screenshots` keeps the pictures they take.
//
// Contrast is measured as WCAG 2.2 has it: 1.4.3 for text (4.5:1, large text 3:1), 1.4.11 for what charts draw (3:1).
package screenshots
