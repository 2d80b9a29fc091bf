// Validates templates with @aws/cloudformation-validate, which needs no network: node validate.mjs MODULES TEMPLATE...
// MODULES is the node_modules folder it is installed in. Any finding is a failure, but for the two notes below.
import { createRequire } from "node:module";
import { resolve } from "node:path";

const NOTES = [
  "I9001", // "is create-only": true of most properties, and no fault
  "I9040", // "supports Tags": operators tag whole stacks (aws cloudformation deploy --tags)
];

const [modules, ...templates] = process.argv.slice(2);
if (!modules || templates.length === 0) {
  console.error("usage: validate.mjs MODULES TEMPLATE...");
  process.exit(2);
}
const require = createRequire(resolve(modules) + "/");
const { RegoEngine, TemplateFile } = require("@aws/cloudformation-validate");
const engine = new RegoEngine();
let bad = 0;
try {
  for (const path of templates) {
    const report = engine.validateStandard(new TemplateFile(path), { exclude: { ids: NOTES } });
    if (report.status !== "OK") {
      bad++;
      console.error(`${path}: ${report.status}`);
    }
    for (const d of report.diagnostics) {
      bad++;
      console.error(`${path}:${d.startLine ?? 0}: ${d.severity} ${d.ruleId}: ${d.message}`);
    }
  }
} finally {
  engine.free();
}
console.log(`${templates.length} templates validated, ${bad} findings`);
process.exit(bad > 0 ? 1 : 0);
