// put sets text (never markup) and leaves alone what has not changed; a value is text or [text, is it bad].
function put(node, value) {
  const [text, bad] = Array.isArray(value) ? value : [value, false];
  if (node.textContent !== text) node.textContent = text;
  node.classList.toggle("bad", bad);
}
function rows(body, all, none = "None") {
  if (all.length === 0) {
    const tr = document.createElement("tr"), td = document.createElement("td");
    td.colSpan = 9;
    td.textContent = none;
    tr.append(td);
    return body.replaceChildren(tr);
  }
  if (body.querySelector("[colspan]")) body.replaceChildren();
  while (body.rows.length > all.length) body.deleteRow(-1);
  all.forEach((cells, i) => {
    const tr = body.rows[i] || body.insertRow();
    cells.forEach((value, j) => {
      if (!tr.cells[j]) {
        const cell = document.createElement(j === 0 ? "th" : "td");
        const head = body.closest("table").tHead.rows[0].cells[j];
        if (j === 0) cell.scope = "row";
        if (head) cell.className = head.className;
        tr.append(cell);
      }
      put(tr.cells[j], value);
    });
  });
}
function tile(id, value, point) {
  const li = $(id), line = trails[id] = [...(trails[id] || []), point].slice(-trail), wide = Math.max(line.length, 10);
  if (!li.querySelector("svg")) li.append($("line").content.cloneNode(true));
  put(li.querySelector("b"), value);
  const top = Math.max(...line.filter(Number.isFinite), 1e-9);
  li.querySelector("polyline").setAttribute("points", line.map((v, i) => Number.isFinite(v)
    ? `${(100 * (i + wide - line.length) / (wide - 1)).toFixed(1)},${(23 - 22 * v / top).toFixed(1)}` : "").join(" "));
}

const took = "redoubt_parent_http_request_duration_seconds", requests = "redoubt_parent_http_requests_total";
const opening = { route: /decrypt/ }; // the routes that open fields, which health checks are not

function showTiles() {
  const r = rate(requests, opening), all = grown(requests, opening);
  const bad = grown(requests, { ...opening, status: /^5/ });
  const p50 = quantile(.5, took, opening), p99 = quantile(.99, took, opening);
  const failed = all > 0 ? bad / all : NaN, flight = gauge("redoubt_enclave_sessions_in_flight");
  const h = hits("redoubt_enclave_key_lookups_total"), kms = rate("redoubt_enclave_kms_calls_total");
  const ready = gauge("redoubt_enclave_sessions_ready"), open = gauge("redoubt_enclave_sessions_open");
  tile("rate", each(r), r);
  tile("p50", time(p50), p50);
  tile("p99", time(p99), p99);
  tile("failed", [share(failed), failed > 0], failed);
  tile("flight", count(flight), flight);
  tile("hits", share(h), h);
  tile("kms", each(kms), kms);
  tile("sessions", [`${ready} of ${open}`, ready === 0 || ready < open], ready);
}
function showRequests() {
  const used = values(took + "_count", "route").filter(route => gauge(took + "_count", { route }) > 0);
  rows($("routes"), used.map(route => {
    const failed = rate(requests, { route, status: /^5/ });
    return [route, each(rate(requests, { route })), each(rate(requests, { route, status: /^4/ })),
      [each(failed), failed > 0], time(mean(took, { route })),
      time(quantile(.5, took, { route })), time(quantile(.99, took, { route }))];
  }), "No request yet");
  const codes = values(requests, "code").filter(code => code !== "ok" && gauge(requests, { code }) > 0);
  rows($("codes"), codes.map(code =>
    [worded(code), each(rate(requests, { code })), count(gauge(requests, { code }))]));
}
function showEnclave(card, enclave) {
  const of = name => gauge(name, { enclave }), per = (name, want) => rate(name, { enclave, ...want });
  const at = name => card.querySelector(`[data-of=${name}]`);
  const info = (now.all.get("redoubt_enclave_info") || []).find(s => s.labels.enclave === enclave);
  put(at("name"), enclave);
  put(at("about"), info ? `id ${info.labels.id} · build ${info.labels.build} · up ` +
    span(Date.now() / 1000 - of("redoubt_enclave_start_time_seconds")) : "no session");
  card.querySelector(".conditions").replaceChildren(...(now.all.get("redoubt_enclave_condition") || [])
    .filter(s => s.labels.enclave === enclave).map(s => {
      const li = document.createElement("li"), good = s.value === 1;
      li.className = good ? "ok" : "bad";
      li.textContent = (good ? "✓ " : "✗ ") + worded(s.labels.condition);
      return li;
    }));
  const ready = of("redoubt_enclave_sessions_ready"), open = of("redoubt_enclave_sessions_open");
  const full = per("redoubt_enclave_overloaded_total"), late = per("redoubt_enclave_expired_total");
  const left = "redoubt_enclave_credentials_left_seconds", offset = of("redoubt_enclave_clock_offset_seconds");
  rows(at("load"), [
    ["Sessions ready", [`${ready} of ${open}`, ready === 0]],
    ["Requests, /s", each(per("redoubt_enclave_requests_total"))],
    ["In flight", count(of("redoubt_enclave_in_flight"))],
    ["Queued", count(of("redoubt_enclave_queued"))],
    ["Refused for load, /s", [each(full), full > 0]],
    ["Expired unopened, /s", [each(late), late > 0]],
    ["Heap", bytes(of("redoubt_enclave_heap_bytes"))],
    ["Locked secrets", bytes(of("redoubt_enclave_secret_bytes"))],
    ["Clock against host", [(offset < 0 ? "−" : offset > 0 ? "+" : "") + time(Math.abs(offset)), Math.abs(offset) > 5]],
    ["Credentials end in", has(left, { enclave }) ? span(of(left)) : "–"],
  ]);
  const cache = (name, kept, lookups, evictions) => [name, count(of(kept)), share(hits(lookups, { enclave })),
    each(per(lookups, { outcome: "miss" })), evictions ? each(per(evictions)) : "–"];
  rows(at("caches"), [
    cache("Keys", "redoubt_enclave_cached_keys", "redoubt_enclave_key_lookups_total",
      "redoubt_enclave_key_evictions_total"),
    cache("Contexts", "redoubt_enclave_cached_contexts", "redoubt_enclave_context_lookups_total",
      "redoubt_enclave_context_evictions_total"),
    cache("Expressions", "redoubt_enclave_cached_programs", "redoubt_enclave_program_lookups_total"),
  ]);
  const calls = "redoubt_enclave_kms_calls_total", wrong = per(calls, { outcome: /^(?!ok)/ });
  const age = "redoubt_enclave_kms_document_age_seconds";
  rows(at("kms"), [
    ["Calls, /s", each(per(calls))],
    ["Failed, /s", [each(wrong), wrong > 0]],
    ["Under way", count(of("redoubt_enclave_kms_in_flight"))],
    ["Waiting", count(of("redoubt_enclave_kms_waiting"))],
    ["Age of the attestation document", has(age, { enclave }) ? span(of(age)) : "–"],
  ]);
  const stage = "redoubt_enclave_stage_duration_seconds";
  rows(at("stages"), ["queue", "key", "kms", "open", "expression", "encode", "total"].map(name => {
    const want = { enclave, stage: name };
    return [worded(name), each(rate(stage + "_count", want)), time(mean(stage, want)), time(quantile(.99, stage, want))];
  }));
}
function showEnclaves() {
  const names = values("redoubt_enclave_sessions_open", "enclave"), cards = $("enclaves").children;
  while (cards.length > names.length) cards[cards.length - 1].remove();
  while (cards.length < names.length) $("enclaves").append($("enclave").content.cloneNode(true));
  names.forEach((name, i) => showEnclave(cards[i], name));
}
// probe says whether enclaves open every probe key by KMS; undefined without one.
function probe() {
  const all = now.all.get("redoubt_parent_probe_ok");
  return all && all.every(s => s.value === 1);
}
function showHost() {
  const retried = rate("redoubt_parent_requests_retried_total"), lost = gauge("redoubt_parent_sessions_lost_total");
  const refused = gauge("redoubt_parent_egress_refused_total"), ping = "redoubt_parent_ping_duration_seconds";
  const probed = probe();
  const facts = {
    "Memory, resident": bytes(gauge("process_resident_memory_bytes")),
    "CPUs in use": digits(rate("process_cpu_seconds_total") || 0),
    "Goroutines": count(gauge("go_goroutines")),
    "Ping of an enclave, mean": time(mean(ping)),
    "Requests sent again": each(retried) + " per second",
    "Sessions lost since start": [count(lost), lost > 0],
    "Probe key at KMS": probed === undefined ? "no probe" : probed ? "opens" : ["does not open", true],
    "Connections to KMS": count(gauge("redoubt_parent_egress_connections")),
    "Egress refused since start": [count(refused), refused > 0],
  };
  if ($("facts").children.length === 0) {
    $("facts").append(...Object.keys(facts).map(name => {
      const pair = document.createElement("div"), dt = document.createElement("dt");
      dt.textContent = name;
      pair.append(dt, document.createElement("dd"));
      return pair;
    }));
  }
  Object.values(facts).forEach((value, i) => put($("facts").children[i].lastChild, value));
}
function state(text, kind) {
  put($("state"), text);
  $("state").className = kind;
  document.title = "Redoubt parent: " + text;
  document.body.classList.toggle("stale", text === "does not answer");
}
function show() {
  const ready = gauge("redoubt_parent_ready") === 1, draining = gauge("redoubt_parent_draining") === 1;
  const closed = probe() === false;
  state(draining ? "draining" : !ready ? "not ready" : closed ? "KMS opens no key" : "ready",
    ready && !closed ? "ok" : "bad");
  const life = gauge("redoubt_parent_credentials_life_seconds");
  const build = (now.all.get("redoubt_parent_build_info") || [{ labels: {} }])[0].labels.version;
  put($("about"), `build ${build} · up ${span(Date.now() / 1000 - born)} · ` +
    (life > 0 ? `credentials ${life === Infinity ? "without end" : "end in " + span(life)}` : "no credentials") +
    ` · read at ${new Date().toLocaleTimeString("en-GB")}`);
  showTiles();
  showRequests();
  showEnclaves();
  showHost();
}
async function turn() {
  try {
    const answer = await fetch("/metrics", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    now = read(await answer.text());
    if (gauge("process_start_time_seconds") !== born) shots.length = 0; // another process: its counters begin anew
    born = gauge("process_start_time_seconds");
    then = shots.length < spread ? shots[0] : shots.shift();
    show();
    shots.push(now);
  } catch {
    state("does not answer", "bad");
  }
  setTimeout(turn, every);
}
turn();
