"use strict";
const every = 2000, spread = 5, trail = 60; // ms between readings; readings of a rate; points of a line
const shots = [], trails = {};
let now, then, born;

const $ = id => document.getElementById(id);

// read takes the text format of Prometheus apart. What is no sample is skipped.
function read(text) {
  const all = new Map();
  for (const line of text.split("\n")) {
    const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/.exec(line);
    if (!m) continue;
    const labels = {};
    for (const l of (m[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[l[1]] = l[2];
    if (!all.has(m[1])) all.set(m[1], []);
    all.get(m[1]).push({ labels, value: m[3] === "+Inf" ? Infinity : Number(m[3]) });
  }
  return { all, at: performance.now() };
}

// What a reading says, and how that changed over the window. A counter that fell began anew.
const match = (s, want) =>
  Object.entries(want).every(([k, v]) => v instanceof RegExp ? v.test(s.labels[k]) : s.labels[k] === v);
const sum = (shot, name, want = {}) =>
  (shot.all.get(name) || []).filter(s => match(s, want)).reduce((a, s) => a + s.value, 0);
const gauge = (name, want) => sum(now, name, want);
const has = (name, want) => (now.all.get(name) || []).some(s => match(s, want));
function grown(name, want) {
  if (!then) return 0;
  const a = sum(then, name, want), b = sum(now, name, want);
  return b < a ? b : b - a;
}
const rate = (name, want) => then ? grown(name, want) / ((now.at - then.at) / 1000) : NaN;
const values = (name, label) => [...new Set((now.all.get(name) || []).map(s => s.labels[label]))].sort();
function mean(name, want) {
  const n = grown(name + "_count", want);
  return n > 0 ? grown(name + "_sum", want) / n : NaN;
}
function quantile(q, name, want) {
  const total = grown(name + "_count", want);
  if (!(total > 0)) return NaN;
  let low = 0, before = 0;
  for (const le of values(name + "_bucket", "le").filter(le => le !== "+Inf").sort((a, b) => a - b)) {
    const upTo = grown(name + "_bucket", { ...want, le });
    if (upTo >= q * total) return low + (le - low) * (q * total - before) / Math.max(upTo - before, 1);
    low = Number(le);
    before = upTo;
  }
  return Infinity;
}
function hits(name, want) {
  const good = grown(name, { ...want, outcome: "hit" }), all = grown(name, want);
  return all > 0 ? good / all : NaN;
}

// Numbers with their units; a dash is what is not known, or did not happen.
const digits = x => x >= 99.95 ? x.toFixed(0) : x >= 9.995 ? x.toFixed(1) : x.toFixed(2);
const count = x => !Number.isFinite(x) ? "–" : x >= 1e6 ? digits(x / 1e6) + " M" : Math.round(x).toLocaleString("en");
const each = x => !Number.isFinite(x) ? "–" : x === 0 ? "0" : x < 99.95 ? x.toFixed(1) : count(x);
const share = x => !Number.isFinite(x) ? "–" :
  x === 0 || x === 1 ? 100 * x + " %" : (100 * x).toFixed(x > .999 || x < .001 ? 2 : 1) + " %";
const bytes = x => digits(x / 2 ** 20) + " MiB";
function time(s) {
  if (s === Infinity) return "too long";
  if (!Number.isFinite(s)) return "–";
  return s === 0 ? "0 s" : s < 1e-3 ? digits(s * 1e6) + " µs" : s < 1 ? digits(s * 1e3) + " ms" : digits(s) + " s";
}
const worded = label => label === "kms" ? "KMS" : label.replaceAll("_", " ");
function span(s) {
  if (s === Infinity) return "without end";
  const m = Math.floor(s / 60), h = Math.floor(m / 60);
  if (s < 60) return Math.max(0, Math.round(s)) + " s";
  return m < 60 ? m + " min" : h < 48 ? `${h} h ${m % 60} min` : Math.floor(h / 24) + " days";
}
