// What is wrong with the page as it is rendered now: a list of sentences, empty when all is well.
(() => {
  const faults = new Set();
  const root = document.documentElement, wide = root.clientWidth;
  const name = e => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") +
    (e.getAttribute("class") ? "." + e.getAttribute("class").split(" ")[0] : "") +
    (e.textContent ? ` "${e.textContent.trim().slice(0, 40)}"` : "");
  const isOutOfSight = e => e.closest(".hidden") || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true });

  // Width: nothing sticks out to the side.
  if (root.scrollWidth > window.innerWidth) {
    faults.add(`wider than the window: ${root.scrollWidth} > ${window.innerWidth}`);
    for (const e of document.body.querySelectorAll("*")) {
      if (!isOutOfSight(e) && e.getBoundingClientRect().right > wide + 1) faults.add(`sticks out: ${name(e)}`);
    }
  }

  // Colours: of what is drawn against what is behind it.
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parsed = new Map();
  const parse = css => {
    if (!parsed.has(css)) {
      probe.clearRect(0, 0, 1, 1);
      probe.fillStyle = css;
      probe.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = probe.getImageData(0, 0, 1, 1).data;
      parsed.set(css, [r, g, b, a / 255]);
    }
    return parsed.get(css);
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = e => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
    }
    const canvas = getComputedStyle(root).colorScheme.includes("dark") &&
      matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
    return layers.reverse().reduce((below, layer) => over(layer, below), canvas);
  };
  const light = c => {
    const [r, g, b] = c.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((m, n) => n - m);
    return (x + .05) / (y + .05);
  };
  const drawn = (e, css, least) => {
    if (css === "none") return;
    const color = parse(css), ground = behind(e);
    if (color[3] === 0) return;
    const ratio = contrast(over(color, ground), ground);
    if (ratio < least) faults.add(`contrast ${ratio.toFixed(2)} < ${least}: ${name(e)}`);
  };
  const scale = e => { // rendered pixels for one of the svg's units
    const svg = e.ownerSVGElement;
    return svg && svg.viewBox.baseVal.width ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = new Set();
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (walk.currentNode.textContent.trim() && !e.closest("script, style, template, noscript, title")) texts.add(e);
  }
  for (const e of texts) {
    if (isOutOfSight(e)) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize) * scale(e);
    const large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
    drawn(e, e.ownerSVGElement ? style.fill : style.color, large ? 3 : 4.5);
    if (size < 9) faults.add(`small print, ${size.toFixed(1)} px: ${name(e)}`);
  }
  for (const e of document.querySelectorAll("svg polyline, svg circle, svg rect, svg path")) {
    if (isOutOfSight(e) || e.closest(".quiet")) continue;
    const style = getComputedStyle(e);
    if (style.fill === "none") drawn(e, style.stroke, 3);
    else drawn(e, style.fill, 3);
  }

  // Text in drawings: whole, and not over other text.
  for (const svg of document.querySelectorAll("svg")) {
    const frame = svg.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll("text")].filter(e => !isOutOfSight(e)).map(e => [e, e.getBoundingClientRect()]);
    boxes.forEach(([e, a], i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1) {
        faults.add(`cut off: ${name(e)}`);
      }
      for (const [other, b] of boxes.slice(i + 1)) {
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left), y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 1 && y > 2) faults.add(`over one another: ${name(e)} and ${name(other)}`);
      }
    });
  }

  // Structure.
  if (!root.lang) faults.add("no language");
  if (!document.title.trim()) faults.add("no title");
  if (!document.querySelector("meta[name=viewport]")) faults.add("no viewport");
  if (document.querySelectorAll("h1").length !== 1) faults.add("not one h1");
  if (document.querySelectorAll("main").length !== 1) faults.add("not one main");
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (Number(h.tagName[1]) > level + 1) faults.add(`heading skips a level: ${name(h)}`);
    if (!h.textContent.trim()) faults.add("empty heading");
    level = Number(h.tagName[1]);
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption && !table.getAttribute("aria-label")) faults.add(`table without a caption: ${name(table)}`);
    if (!table.tHead || ![...table.tHead.rows[0].cells].every(c => c.tagName === "TH" && c.scope === "col" && c.textContent.trim())) {
      faults.add(`table without headers of its columns: ${name(table)}`);
    }
    for (const row of [...table.tBodies].flatMap(b => [...b.rows])) {
      if (row.cells.length > 1 && !(row.cells[0].tagName === "TH" && row.cells[0].scope === "row")) {
        faults.add(`row without a header: ${name(row)}`);
      }
    }
  }
  for (const svg of document.querySelectorAll("svg")) {
    const labelled = svg.getAttribute("role") === "img" && (svg.getAttribute("aria-label") || "").trim();
    if (!labelled && svg.getAttribute("aria-hidden") !== "true") faults.add(`drawing without a name: ${name(svg)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  for (const id of ids.filter((id, i) => ids.indexOf(id) !== i)) faults.add(`id twice: ${id}`);
  for (const e of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(e.getAttribute("aria-labelledby"))) faults.add(`named by what is not there: ${name(e)}`);
  }
  return [...faults];
})()
