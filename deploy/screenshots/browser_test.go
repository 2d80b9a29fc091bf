//go:build screens

package screenshots

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

//go:embed checks.js
var checks string

// largest is what a picture may take in the repository, bytes.
const largest = 200 << 10

// tab is a page with what it said and what it asked for.
type tab struct {
	ctx    context.Context
	origin string // what its requests must begin with

	mu     sync.Mutex
	faults []string
	asked  int
}

// browser starts Chromium with a profile of its own; it ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	profile, err := os.MkdirTemp("", "rdb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) })
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(30*time.Second))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return ctx
}

// open shows a page in a tab of its own. Origin is the beginning that all its requests must have.
func open(t *testing.T, browser context.Context, url, origin string) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser)
	t.Cleanup(end)
	p := &tab{ctx: ctx, origin: origin}
	if err := chromedp.Listen(ctx, p.note); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	p.look(t, 1280, "light")
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open the page: %v", err)
	}
	return p
}

// note keeps what must not be.
func (p *tab) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		p.faults = append(p.faults, fmt.Sprintf("%s %s: %s", e.Entry.Source, e.Entry.Level, e.Entry.Text))
	case *runtime.EventConsoleAPICalled:
		p.faults = append(p.faults, "console: "+string(e.Type))
	case *runtime.EventExceptionThrown:
		p.faults = append(p.faults, "exception: "+e.ExceptionDetails.Text)
	case *network.EventLoadingFailed:
		p.faults = append(p.faults, "loading failed: "+e.ErrorText)
	case *network.EventRequestWillBeSent:
		p.asked++
		if !strings.HasPrefix(e.Request.URL, p.origin) && e.Request.URL != "data:," {
			p.faults = append(p.faults, "request to "+e.Request.URL)
		}
	}
}

// silent fails the test for each message, failure and foreign request so far.
func (p *tab) silent(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked == 0 {
		t.Error("not one request was seen: the watch does not work")
	}
	for _, f := range p.faults {
		t.Error(f)
	}
}

// js evaluates an expression in the page.
func js[T any](t *testing.T, p *tab, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression[:min(len(expression), 80)], err)
	}
	return v
}

// until polls an expression until it is true.
func (p *tab) until(t *testing.T, what string, within time.Duration, expression string) {
	t.Helper()
	end := time.Now().Add(within)
	for !js[bool](t, p, expression) {
		if time.Now().After(end) {
			p.silent(t)
			t.Fatalf("%s: not within %v; the page says:\n%s", what, within, js[string](t, p, "document.body.innerText"))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// look gives the window a width and the user a preference.
func (p *tab) look(t *testing.T, width int64, scheme string) {
	t.Helper()
	prefers := emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, prefers); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(width, 900)); err != nil {
		t.Fatal(err)
	}
}

// readable runs the checks in both schemes at both widths, and leaves the page wide and light.
func (p *tab) readable(t *testing.T) {
	t.Helper()
	for _, scheme := range []string{"dark", "light"} {
		for _, width := range []int64{400, 1280} {
			p.look(t, width, scheme)
			for _, fault := range js[[]string](t, p, checks) {
				t.Errorf("%s, %d px: %s", scheme, width, fault)
			}
		}
	}
}

// picture keeps the part of the page that the expression (a DOMRect) gives, with a margin, as NAME.png.
func (p *tab) picture(t *testing.T, name, rect string) {
	t.Helper()
	type box struct{ X, Y, Width, Height float64 }
	b := js[box](t, p, fmt.Sprintf(`(r => ({X: r.x + scrollX, Y: r.y + scrollY, Width: r.width, Height: r.height}))(%s)`, rect))
	beyond := true
	shot, err := chromedp.Call(p.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: &beyond,
		Clip: &page.Viewport{X: b.X, Y: b.Y, Width: b.Width, Height: b.Height, Scale: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	data := smaller(t, shot.Data)
	if len(data) > largest {
		t.Errorf("%s takes %d bytes", name, len(data))
	}
	if err := os.WriteFile(filepath.Join(out(t), name+".png"), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// out is the folder for pictures: SCREENS_OUT, or one that goes with the test.
func out(t *testing.T) string {
	if dir := os.Getenv("SCREENS_OUT"); dir != "" {
		return dir
	}
	return t.TempDir()
}

// smaller writes a PNG anew with a palette of its 256 most frequent colours, the rest going to the nearest: pages of
// text and lines have hardly more.
func smaller(t *testing.T, data []byte) []byte {
	t.Helper()
	from, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	frame := from.Bounds()
	counts := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(from.At(x, y)).(color.RGBA) }
	for y := frame.Min.Y; y < frame.Max.Y; y++ {
		for x := frame.Min.X; x < frame.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	colors := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		colors = append(colors, c)
	}
	slices.SortFunc(colors, func(a, b color.RGBA) int { return counts[b] - counts[a] })
	var palette color.Palette
	for _, c := range colors[:min(len(colors), 256)] {
		palette = append(palette, c)
	}
	index := map[color.RGBA]uint8{}
	for _, c := range colors {
		index[c] = uint8(palette.Index(c))
	}
	to := image.NewPaletted(frame, palette)
	for y := frame.Min.Y; y < frame.Max.Y; y++ {
		for x := frame.Min.X; x < frame.Max.X; x++ {
			to.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, to); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
