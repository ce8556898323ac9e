"use strict";
// The page of all answers: unpack, filter, and draw only what can be seen. State lives in the address.
const $ = (id) => document.getElementById(id);
const ROW = 58;
const state = { view: "figures", text: "", task: "", metric: "", level: "", template: "", shots: "", show: "", leak: "", sort: "", item: "" };
let data, shown = [], lower = null, at = 0;

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const known = (x) => typeof x === "number" && isFinite(x);
const percent = (x) => (known(x) ? (100 * x).toFixed(1) : "–");
const number = (n) => n.toLocaleString("en");

async function unpack() {
  const packed = $("packed").textContent.trim();
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  $("packed").remove();
  return JSON.parse(await new Response(stream).text());
}

// -- address --------------------------------------------------------------------------------------------------------

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key in state) state[key] = given.get(key) ?? (key === "view" ? "figures" : "");
}
function writeAddress() {
  const kept = Object.entries(state).filter(([key, value]) => value !== "" && !(key === "view" && value === "figures"));
  history.replaceState(null, "", "#" + new URLSearchParams(kept));
}

// -- figures --------------------------------------------------------------------------------------------------------

function cellHtml(cell, less, than) {
  if (!cell) return "<td></td>";
  const say = less ? (x) => (known(x) ? x.toFixed(3) : "–") : percent;
  const [value, low, high, n] = cell.rate;
  let html = `<td><span class="v"><b>${say(value)}</b>`;
  if (!less && known(value) && known(low) && known(high)) html += `<span class="track"><i style="left:${100 * low}%;width:${100 * (high - low)}%"></i><u style="left:${100 * value}%"></u></span>`;
  html += `</span><span class="r">${say(low)} to ${say(high)}, ${number(n)} asked${cell.wordings ? `; wordings ${say(cell.wordings[0])} to ${say(cell.wordings[1])}` : ""}</span>`;
  if (cell.leaked) html += `<span class="r">clean ${cell.clean ? `${say(cell.clean[0])} of ${cell.clean[3]}` : "none"}, leaked ${say(cell.leaked[0])} of ${cell.leaked[3]}</span>`;
  if (cell.than) {
    const [d, dl, dh, p] = cell.than;
    const sign = !known(p) || p >= 0.05 ? "" : dl > 0 ? (less ? "down" : "up") : dh < 0 ? (less ? "up" : "down") : "";
    html += `<span class="r ${sign}">${d > 0 ? "+" : ""}${say(d)} (${say(dl)} to ${say(dh)}) than ${escape(than)}, p ${!known(p) ? "–" : p < 1e-4 ? "< 0.0001" : p.toPrecision(2)}</span>`;
  }
  return html + "</td>";
}

function drawFigures() {
  const heads = data.models.map((m) => `<th>${escape(m)}</th>`).join("");
  let html = `<h2>How the models stand</h2><table><thead><tr><th>task</th><th>metric</th>${heads}</tr></thead><tbody>`;
  data.figures.forEach((line, i) => {
    const what = [line.metric, line.shots ? `${line.shots} examples` : "", line.format === "instruction" ? "" : line.format].filter(Boolean).join(", ");
    html += `<tr data-line="${i}" tabindex="0"><td>${line.task ? escape(line.task) : "<b>all tasks</b>"}<span class="r">${escape(line.level)}</span></td><td>${escape(what)}</td>`;
    html += line.cells.map((cell) => cellHtml(cell, line.less, data.models[0])).join("") + "</tr>";
  });
  html += "</tbody></table>";
  if (data.styles.length) {
    html += `<h2>Form and knowledge</h2><p class="small">Of 100 answers. In form: it ends, and has the form of a right answer. Knows: a right answer stands in it, or is the likeliest option.</p>
      <table><thead><tr><th>model</th><th>in form</th><th>knows</th><th>both</th><th>form only</th><th>known only</th><th>neither</th><th></th></tr></thead><tbody>`;
    for (const one of data.styles) html += `<tr><td>${escape(one.model)}</td>${one.shares.map((x) => `<td>${known(x) ? (100 * x).toFixed(0) : "–"}</td>`).join("")}<td>${escape(one.verdict)}</td></tr>`;
    html += "</tbody></table>";
  }
  $("figures").innerHTML = html;
}

// -- the list -------------------------------------------------------------------------------------------------------

function options(id, first, pairs) {
  $(id).innerHTML = [["", first], ...pairs].map(([value, name]) => `<option value="${escape(value)}">${escape(name)}</option>`).join("");
  $(id).hidden = pairs.length < 2 && id !== "show" && id !== "sort";
}
function fillFilters() {
  for (const [id, first] of [["task", "all tasks"], ["metric", "all metrics"], ["level", "all levels"], ["template", "all wordings"]])
    options(id, first, data.names[id].map((name) => [name, name || "none"]));
  options("shots", "any examples", [...new Set(data.items.shots)].sort((a, b) => a - b).map((n) => [String(n), `${n} examples`]));
  const marks = data.models.flatMap((m) => [[`wrong:${m}`, `wrong: ${m}`], [`right:${m}`, `right: ${m}`]]);
  if (data.models.length > 1) {
    marks.unshift(["differ", "models differ"]);
    for (const m of data.models.slice(1)) marks.push([`gained:${m}`, `${m} right, ${data.models[0]} wrong`], [`lost:${m}`, `${m} wrong, ${data.models[0]} right`]);
  }
  options("show", "all answers", [...marks, ["unfinished", "cut off"]]);
  const audited = data.answers.some((of) => of.leak.some((x) => x !== null));
  options("leak", "leaked or not", audited ? [["leaked", "leaked"], ["clean", "clean"]] : []);
  options("sort", "in order", [["least", "least right first"], ["long", "longest answers first"]]);
}

function matches() {
  const { items, answers, models, names } = data;
  const code = (name) => (state[name] === "" ? -1 : names[name].indexOf(state[name]));
  const wanted = { task: code("task"), metric: code("metric"), level: code("level"), template: code("template") };
  const shots = state.shots === "" ? -1 : Number(state.shots);
  const [kind, who] = state.show.split(/:(.*)/s);
  const text = state.text.trim().toLowerCase();
  if (text && !lower) lower = data.texts.map((t) => t.toLowerCase());
  let hits = null;
  if (text) { hits = new Uint8Array(lower.length); lower.forEach((t, i) => { hits[i] = t.includes(text) ? 1 : 0; }); }
  const value = answers.map((of) => of.value), whose = models.indexOf(who);
  const found = [];
  for (let i = 0; i < items.id.length; i++) {
    if (wanted.task >= 0 && items.task[i] !== wanted.task) continue;
    if (wanted.metric >= 0 && items.metric[i] !== wanted.metric) continue;
    if (wanted.level >= 0 && items.level[i] !== wanted.level) continue;
    if (wanted.template >= 0 && items.template[i] !== wanted.template) continue;
    if (shots >= 0 && items.shots[i] !== shots) continue;
    if (kind === "differ" && !value.some((v) => v[i] !== null && value[0][i] !== null && v[i] !== value[0][i])) continue;
    if (kind === "unfinished" && !answers.some((of) => of.finished[i] === 0)) continue;
    if (who) {
      const mine = value[whose]?.[i], first = value[0][i];
      if (mine == null) continue;
      const loss = isLoss(i);
      if (kind === "wrong" && (loss || mine >= 1)) continue;
      if (kind === "right" && (loss || mine < 1)) continue;
      if (kind === "gained" && !(loss ? mine < first : mine > first)) continue;
      if (kind === "lost" && !(loss ? mine > first : mine < first)) continue;
    }
    if (state.leak === "leaked" && !answers.some((of) => of.leak[i])) continue;
    if (state.leak === "clean" && answers.some((of) => of.leak[i] !== "")) continue;
    if (hits && !hits[items.prompt[i]] && !answers.some((of) => (of.said[i] !== null && hits[of.said[i]]) || (of.thoughts[i] !== null && hits[of.thoughts[i]])) && !items.id[i].toLowerCase().includes(text)) continue;
    found.push(i);
  }
  if (state.sort === "least") {
    const sum = (i) => value.reduce((s, v) => s + (v[i] ?? 0), 0);
    found.sort((a, b) => sum(a) - sum(b) || a - b);
  } else if (state.sort === "long") {
    const long = (i) => Math.max(...answers.map((of) => (of.said[i] === null ? 0 : data.texts[of.said[i]].length)));
    found.sort((a, b) => long(b) - long(a) || a - b);
  }
  return found;
}

// Of such a metric less is better, and no value is right or wrong.
function isLoss(i) { return data.less.includes(data.names.metric[data.items.metric[i]]); }
function mark(value, name, loss) {
  const kind = value === null ? "none" : loss ? "part" : value >= 1 ? "ok" : value > 0 ? "part" : "no";
  return `<i class="${kind}" title="${escape(name)}"></i>`;
}
function rowHtml(i) {
  const { items, answers, models, names, texts } = data;
  const prompt = texts[items.prompt[i]].slice(0, 160).replace(/\s+/g, " ");
  const said = answers.map((of) => (of.said[i] === null ? "" : texts[of.said[i]].slice(0, 60).replace(/\s+/g, " "))).join(" · ");
  return `<div class="row${String(items.id[i]) + "|" + i === state.item ? " on" : ""}" role="option" data-i="${i}"><span class="marks">${models.map((m, k) => mark(answers[k].value[i], m, isLoss(i))).join("")}</span><span class="q">${escape(prompt)}</span><span class="w">${escape(names.task[items.task[i]])} · ${escape(said)}</span></div>`;
}
function drawList() {
  const list = $("list"), from = Math.max(0, Math.floor(list.scrollTop / ROW) - 6);
  const to = Math.min(shown.length, from + Math.ceil(list.clientHeight / ROW) + 12);
  $("seen").style.transform = `translateY(${from * ROW}px)`;
  let html = "";
  for (let k = from; k < to; k++) html += rowHtml(shown[k]);
  $("seen").innerHTML = html;
}
function refresh(keep) {
  shown = matches();
  $("tall").style.height = `${shown.length * ROW}px`;
  $("count").textContent = `${number(shown.length)} of ${number(data.items.id.length)}`;
  if (!keep) $("list").scrollTop = 0;
  const open = shown.findIndex((i) => data.items.id[i] + "|" + i === state.item);
  at = Math.max(0, open);
  if (open < 0) select(shown.length ? 0 : -1, false); else { if (keep) scrollTo(at); drawOne(shown[at]); }
  drawList();
}
function scrollTo(k) {
  const list = $("list"), top = k * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
}
function select(k, move = true) {
  if (k < 0 || k >= shown.length) { if (!shown.length) { state.item = ""; $("one").innerHTML = "<p class='small'>No question is like that.</p>"; writeAddress(); } return; }
  at = k;
  state.item = data.items.id[shown[k]] + "|" + shown[k];
  if (move) scrollTo(k);
  drawOne(shown[k]);
  drawList();
  writeAddress();
}

// -- one question ---------------------------------------------------------------------------------------------------

// Words of b that a does not have in this order (longest common subsequence; long texts are compared by their ends).
function newer(a, b) {
  const split = (t) => t.match(/[\u3400-\u9fff]|[^\s\u3400-\u9fff]+|\s+/g) ?? [];
  let x = split(a), y = split(b), head = 0, tail = 0;
  while (head < x.length && head < y.length && x[head] === y[head]) head++;
  while (tail < x.length - head && tail < y.length - head && x[x.length - 1 - tail] === y[y.length - 1 - tail]) tail++;
  const u = x.slice(head, x.length - tail), v = y.slice(head, y.length - tail), kept = new Set();
  if (u.length * v.length <= 4e6 && u.length && v.length) {
    const width = v.length + 1, table = new Uint16Array((u.length + 1) * width);
    for (let i = u.length - 1; i >= 0; i--) for (let j = v.length - 1; j >= 0; j--)
      table[i * width + j] = u[i] === v[j] ? table[(i + 1) * width + j + 1] + 1 : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    for (let i = 0, j = 0; i < u.length && j < v.length; )
      if (u[i] === v[j]) { kept.add(j); i++; j++; } else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) i++; else j++;
  }
  const middle = v.map((word, j) => (kept.has(j) || !word.trim() ? escape(word) : `<ins>${escape(word)}</ins>`)).join("");
  return escape(y.slice(0, head).join("")) + middle + escape(y.slice(y.length - tail).join(""));
}

function tokensHtml(row) {
  const draw = (ids, kind) => ids.map((p) => {
    const text = data.pieces[p];
    const control = /^<[|/]?[^<>\s]+[|]?>$/.test(text) ? " control" : "";
    return `<span class="t ${kind}${control}">${escape(text).replace(/\n/g, '<i class="nl">⏎</i>\n')}</span>`;
  }).join("");
  return `<div class="tokens">${draw(row[0], "context")}${draw(row[1], "learn")}</div>`;
}

function drawOne(i) {
  const { items, answers, models, names, texts, leaks } = data;
  const gold = items.gold[i].map((t) => texts[t]);
  const place = [names.task[items.task[i]], names.metric[items.metric[i]], names.level[items.level[i]], items.shots[i] ? `${items.shots[i]} examples shown` : "", names.template[items.template[i]], names.language[items.language[i]]].filter(Boolean);
  let html = `<div class="where">${place.map((p) => `<span>${escape(p)}</span>`).join("")}</div><div class="asked">${escape(texts[items.prompt[i]])}</div>`;
  if (gold.length) html += `<h3>${isLoss(i) ? "Given" : "Right"}</h3><div class="gold">${gold.slice(0, 8).map(escape).join("\n")}</div>`;
  html += `<h3>Answers</h3><div class="sides">`;
  const first = answers[0].said[i] === null ? null : texts[answers[0].said[i]];
  models.forEach((m, k) => {
    const of = answers[k], value = of.value[i];
    if (of.said[i] === null) { html += `<div class="side"><div class="who"><b>${escape(m)}</b> not asked</div></div>`; return; }
    const said = texts[of.said[i]];
    const shownText = k && first !== null && said !== first ? newer(first, said) : escape(said);
    html += `<div class="side ${isLoss(i) ? "" : value >= 1 ? "ok" : value > 0 ? "" : "no"}"><div class="who"><b>${escape(m)}</b><span>${value === null ? "no value" : +value.toFixed(3)}</span>${of.finished[i] ? "" : "<span>cut off</span>"}</div><div class="said">${shownText || "<i>nothing</i>"}</div>`;
    if (of.likely[i]) html += optionsHtml(items.options[i].map((t) => texts[t]), of.likely[i], gold);
    if (of.thoughts[i] !== null) html += `<details open><summary>All that was said</summary><div class="said">${escape(texts[of.thoughts[i]])}</div></details>`;
    const leak = leaks[k].get(items.id[i]);
    if (of.leak[i] && leak) html += `<div class="leakbox">Leaked (${escape(leak[0])}) from training row <code>${escape(leak[1])}</code>: “${escape(leak[2])}”</div>`;
    if (of.tokens[i]) html += `<details><summary>${of.tokens[i][0].length} tokens read${of.likely[i] ? "" : `, ${of.tokens[i][1].length} said`}</summary>${tokensHtml(of.tokens[i])}</details>`;
    html += "</div>";
  });
  html += `</div><p class="keys2"><kbd>↑</kbd> <kbd>↓</kbd> next question, <kbd>/</kbd> search. ${escape(items.id[i])}</p>`;
  $("one").innerHTML = html;
  $("one").scrollTop = 0;
}

function optionsHtml(names, likely, gold) {
  const best = Math.max(...likely.filter((x) => x !== null));
  const p = likely.map((x) => (x === null ? 0 : Math.exp(x - best))), sum = p.reduce((a, b) => a + b, 0);
  return `<div class="opts">${names.map((name, k) => `<span class="${likely[k] === best ? "chosen" : ""} ${gold.includes(name) ? "right" : ""}">${escape(name)}</span><span class="bar2"><i style="width:${(100 * p[k]) / sum}%"></i></span><span>${likely[k] === null ? "–" : likely[k].toFixed(1)}</span>`).join("")}</div>`;
}

// -- start ----------------------------------------------------------------------------------------------------------

function view() {
  const answers = state.view === "answers";
  $("figures").hidden = answers; $("answers").hidden = !answers;
  $("to-figures").classList.toggle("on", !answers); $("to-answers").classList.toggle("on", answers);
  if (answers) { for (const id of ["text", "task", "metric", "level", "template", "shots", "show", "leak", "sort"]) $(id).value = state[id]; refresh(true); }
}
function go(to) { Object.assign(state, to); writeAddress(); view(); }

unpack().then((found) => {
  data = found;
  data.leaks = data.leaks.map((pairs) => new Map(pairs));
  $("about").textContent = `${number(data.items.id.length)} questions and metrics, ${data.models.join(", ")}`;
  readAddress(); drawFigures(); fillFilters(); view();
  $("to-figures").onclick = (e) => { e.preventDefault(); go({ view: "figures" }); };
  $("to-answers").onclick = (e) => { e.preventDefault(); go({ view: "answers" }); };
  $("figures").onclick = (e) => {
    const line = data.figures[e.target.closest("tr[data-line]")?.dataset.line];
    if (line) go({ view: "answers", task: line.task, metric: line.metric, level: line.level, shots: String(line.shots), template: "", text: "", show: "", leak: "", item: "" });
  };
  $("figures").onkeydown = (e) => { if (e.key === "Enter") $("figures").onclick(e); };
  for (const id of ["task", "metric", "level", "template", "shots", "show", "leak", "sort"])
    $(id).onchange = () => { state[id] = $(id).value; writeAddress(); refresh(false); };
  let typing;
  $("text").oninput = () => { clearTimeout(typing); typing = setTimeout(() => { state.text = $("text").value; writeAddress(); refresh(false); }, 120); };
  let drawing = false;
  $("list").onscroll = () => { if (!drawing) { drawing = true; requestAnimationFrame(() => { drawing = false; drawList(); }); } };
  $("seen").onclick = (e) => { const row = e.target.closest(".row"); if (row) select(shown.indexOf(Number(row.dataset.i)), false); };
  window.onresize = () => { if (state.view === "answers") drawList(); };
  window.onhashchange = () => { readAddress(); view(); };
  document.onkeydown = (e) => {
    if (state.view !== "answers" || e.target.matches("input, select")) return;
    if (e.key === "ArrowDown" || e.key === "j") { e.preventDefault(); select(at + 1); }
    else if (e.key === "ArrowUp" || e.key === "k") { e.preventDefault(); select(at - 1); }
    else if (e.key === "/") { e.preventDefault(); $("text").focus(); }
  };
  $("wait").remove();
  document.body.dataset.ready = "1";
}).catch((error) => { $("wait").textContent = `The page cannot be shown (${error.message}). It needs Chrome 80, Firefox 113, Safari 16.4 or later.`; });
