"use strict";
// The page of all answers: unpack, filter, and draw only what can be seen. State lives in the address; what a person
// thinks of answers is kept by the browser, and downloaded as comparisons.
const $ = (id) => document.getElementById(id);
const ROW = 58;
const FILTERS = ["task", "metric", "level", "template", "shots", "show", "leak", "sort"];
const state = { view: "figures", text: "", task: "", metric: "", level: "", template: "", shots: "", show: "", leak: "", sort: "", item: "" };
let data, entries = [], bySlug, shown = [], lower = null, at = 0, judged = new Map();

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const known = (x) => typeof x === "number" && isFinite(x);
const percent = (x) => (known(x) ? (100 * x).toFixed(1) : "–");
const number = (n) => n.toLocaleString("en");
// A text in the language of the page; its values are put in by name. The English text is the key.
const t = (text, values = {}) => ((data && data.words[text]) || text).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
const level = (name) => data.levels.get(name) ?? name;
const tell = (text) => { $("told").textContent = text; };

async function unpack() {
  const packed = $("packed").textContent.trim();
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  $("packed").remove();
  return JSON.parse(await new Response(stream).text());
}

// -- address --------------------------------------------------------------------------------------------------------

function readAddress() {
  const hash = location.hash.slice(1);
  let bare = "";
  if (hash && !hash.includes("=")) { try { bare = decodeURIComponent(hash); } catch { bare = hash; } }
  const given = new URLSearchParams(bare ? "" : hash);
  for (const key in state) state[key] = given.get(key) ?? (key === "view" ? "figures" : "");
  if (bare) Object.assign(state, { view: "answers", item: bare });
  if (state.item && !bySlug.has(state.item)) tell(t("There is no question {id} on this page.", { id: state.item }));
}
function address(of) {
  const kept = Object.entries(of).filter(([key, value]) => value !== "" && !(key === "view" && value === "figures"));
  return "#" + new URLSearchParams(kept);
}
function writeAddress() { history.replaceState(null, "", address(state)); }

// -- figures --------------------------------------------------------------------------------------------------------

function cellHtml(cell, less, than, name) {
  if (!cell) return `<td data-label="${escape(name)}"></td>`;
  const say = less ? (x) => (known(x) ? x.toFixed(3) : "–") : percent;
  const [value, low, high, n] = cell.rate;
  let html = `<td data-label="${escape(name)}"><span class="v"><b>${say(value)}</b>`;
  if (!less && known(value) && known(low) && known(high)) html += `<span class="track" aria-hidden="true"><i style="left:${100 * low}%;width:${100 * (high - low)}%"></i><u style="left:${100 * value}%"></u></span>`;
  html += `</span><span class="r">${escape(t("{low} to {high}, {n} asked", { low: say(low), high: say(high), n: number(n) }))}`;
  if (cell.wordings) html += escape(t("; wordings {low} to {high}", { low: say(cell.wordings[0]), high: say(cell.wordings[1]) }));
  html += "</span>";
  if (cell.leaked) html += `<span class="r">${escape(t("clean {clean}, leaked {leaked}", { clean: cell.clean ? `${say(cell.clean[0])} (${cell.clean[3]})` : "–", leaked: `${say(cell.leaked[0])} (${cell.leaked[3]})` }))}</span>`;
  if (cell.than) {
    const [d, dl, dh, p] = cell.than;
    const sign = !known(p) || p >= 0.05 ? "" : dl > 0 ? (less ? "down" : "up") : dh < 0 ? (less ? "up" : "down") : "";
    const arrow = sign === "up" ? "▲ " : sign === "down" ? "▼ " : "";
    const p_value = !known(p) ? "–" : p < 1e-4 ? "< 0.0001" : p.toPrecision(2);
    html += `<span class="r ${sign}">${arrow}${escape(t("{d} ({low} to {high}) than {model}, p {p}", { d: (d > 0 ? "+" : "") + say(d), low: say(dl), high: say(dh), model: than, p: p_value }))}</span>`;
  }
  return html + "</td>";
}

function tableHtml(lines, models, caption) {
  const heads = models.map((k) => `<th scope="col">${escape(data.models[k])}</th>`).join("");
  let html = `<table><caption>${escape(caption)}</caption><thead><tr><th scope="col">${escape(t("Task and metric"))}</th>${heads}</tr></thead><tbody>`;
  for (const line of lines) {
    const how = [line.metric, line.shots ? t("{n} examples", { n: line.shots }) : "", line.format === "instruction" ? "" : line.format].filter(Boolean).join(", ");
    const link = address({ view: "answers", task: line.task, metric: line.metric, level: line.level, shots: String(line.shots) });
    html += `<tr><th scope="row"><a href="${escape(link)}">${escape(line.task || t("all tasks"))}</a><span class="r">${escape(level(line.level))}</span><span class="r">${escape(how)}</span></th>`;
    html += models.map((k) => cellHtml(line.cells[k], line.less, data.models[0], data.models[k])).join("") + "</tr>";
  }
  return html + "</tbody></table>";
}

// One table for each set of models that was asked the same: so no column is empty.
function drawFigures() {
  const groups = new Map();
  for (const line of data.figures) {
    const asked = line.cells.map((cell, k) => (cell ? k : -1)).filter((k) => k >= 0);
    const key = asked.join(" ");
    if (!groups.has(key)) groups.set(key, { models: asked, all: [], single: [] });
    groups.get(key)[line.task ? "single" : "all"].push(line);
  }
  let html = `<h2>${escape(t("How the models stand"))}</h2>`;
  for (const { models, all, single } of [...groups.values()].sort((a, b) => b.all.length - a.all.length)) {
    const names = models.map((k) => data.models[k]).join(", ");
    if (all.length) html += tableHtml(all, models, t("All tasks together: {models}. 95 % intervals.", { models: names }));
    if (single.length) html += `<details${all.length ? "" : " open"}><summary>${escape(t("Task by task: {models} ({n})", { models: names, n: single.length }))}</summary>${tableHtml(single, models, t("Each task: {models}. 95 % intervals.", { models: names }))}</details>`;
  }
  if (data.styles.length) {
    const heads = [t("in form"), t("knows"), t("both"), t("form only"), t("known only"), t("neither"), t("change")];
    html += `<h2>${escape(t("Form and knowledge"))}</h2><table><caption>${escape(t("Of 100 answers. In form: it ends, and has the form of a right answer. Knows: a right answer is in it, or is the likeliest option."))}</caption>`;
    html += `<thead><tr>${[t("model"), ...heads].map((x) => `<th scope="col">${escape(x)}</th>`).join("")}</tr></thead><tbody>`;
    for (const one of data.styles) html += `<tr><th scope="row">${escape(one.model)}</th>${[...one.shares.map((x) => (known(x) ? (100 * x).toFixed(0) : "–")), one.verdict || "–"].map((x, k) => `<td data-label="${escape(heads[k])}">${escape(x)}</td>`).join("")}</tr>`;
    html += "</tbody></table>";
  }
  $("figures").innerHTML = html;
}

// -- the list -------------------------------------------------------------------------------------------------------

function options(id, first, pairs) {
  $(id).innerHTML = [["", first], ...pairs].map(([value, name]) => `<option value="${escape(value)}">${escape(name)}</option>`).join("");
  $(id).closest("label").hidden = pairs.length < 2 && id !== "show" && id !== "sort";
}
function fillFilters() {
  const named = (id) => data.names[id].map((name) => [name, name || t("none")]);
  options("task", t("all tasks"), named("task"));
  options("metric", t("all metrics"), named("metric"));
  options("level", t("all levels"), data.names.level.map((name) => [name, level(name)]));
  options("template", t("all wordings"), named("template"));
  options("shots", t("any number"), [...new Set(data.items.shots)].sort((a, b) => a - b).map((n) => [String(n), String(n)]));
  const marks = data.models.flatMap((m) => [[`wrong:${m}`, t("wrong: {model}", { model: m })], [`right:${m}`, t("right: {model}", { model: m })]]);
  if (data.models.length > 1) {
    marks.unshift(["differ", t("models differ")]);
    for (const m of data.models.slice(1)) marks.push([`gained:${m}`, t("{one} right, {other} wrong", { one: m, other: data.models[0] })], [`lost:${m}`, t("{one} wrong, {other} right", { one: m, other: data.models[0] })]);
  }
  options("show", t("all answers"), [...marks, ["unfinished", t("cut off")], ["judged", t("judged by me")]]);
  const audited = data.answers.some((of) => of.leak.some((x) => x !== null));
  options("leak", t("leaked or not"), audited ? [["leaked", t("leaked")], ["clean", t("clean")]] : []);
  options("sort", t("in order"), [["least", t("least right first")], ["long", t("longest answers first")]]);
  const signs = [["✓", "ok", t("right")], ["~", "", t("partly, or a loss")], ["✗", "no", t("wrong")], ["·", "", t("not asked")]];
  $("legend").innerHTML = `<span>${escape(t("Left to right: {models}", { models: data.models.join(", ") }))}</span>` + signs.map(([sign, kind, name]) => `<span><span class="m ${kind}" aria-hidden="true">${sign}</span>${escape(name)}</span>`).join("");
}

// The entries of which an item is wanted; each keeps the first of those items, whose values it is marked with.
function matches() {
  const { items, answers, models, names } = data;
  const code = (name) => (state[name] === "" ? -1 : names[name].indexOf(state[name]));
  const wanted = { task: code("task"), metric: code("metric"), level: code("level"), template: code("template") };
  const shots = state.shots === "" ? -1 : Number(state.shots);
  const [kind, who] = state.show.split(/:(.*)/s);
  const text = state.text.trim().toLowerCase();
  if (text && !lower) lower = data.texts.map((one) => one.toLowerCase());
  let hits = null;
  if (text) { hits = new Uint8Array(lower.length); lower.forEach((one, i) => { hits[i] = one.includes(text) ? 1 : 0; }); }
  const value = answers.map((of) => of.value), whose = models.indexOf(who);
  const found = new Map();
  for (let i = 0; i < items.id.length; i++) {
    const entry = items.entry[i];
    if (found.has(entry)) continue;
    if (wanted.task >= 0 && items.task[i] !== wanted.task) continue;
    if (wanted.metric >= 0 && items.metric[i] !== wanted.metric) continue;
    if (wanted.level >= 0 && items.level[i] !== wanted.level) continue;
    if (wanted.template >= 0 && items.template[i] !== wanted.template) continue;
    if (shots >= 0 && items.shots[i] !== shots) continue;
    if (kind === "differ" && !value.some((v) => v[i] !== null && value[0][i] !== null && v[i] !== value[0][i])) continue;
    if (kind === "unfinished" && !answers.some((of) => of.finished[i] === 0)) continue;
    if (kind === "judged" && !judged.has(entries[entry].slug)) continue;
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
    found.set(entry, i);
  }
  const list = [...found].map(([entry, main]) => ({ ...entries[entry], main }));
  if (state.sort === "least") {
    const sum = ({ main }) => value.reduce((s, v) => s + (v[main] ?? 0), 0);
    list.sort((a, b) => sum(a) - sum(b) || a.main - b.main);
  } else if (state.sort === "long") {
    const long = ({ main }) => Math.max(...answers.map((of) => (of.said[main] === null ? 0 : data.texts[of.said[main]].length)));
    list.sort((a, b) => long(b) - long(a) || a.main - b.main);
  }
  return list;
}

// Of such a metric less is better, and no value is right or wrong.
function isLoss(i) { return data.less.includes(data.names.metric[data.items.metric[i]]); }
function verdict(value, loss) {
  if (value === null) return ["·", "", t("not asked")];
  if (loss) return ["~", "", t("a loss")];
  return value >= 1 ? ["✓", "ok", t("right")] : value > 0 ? ["~", "", t("partly right")] : ["✗", "no", t("wrong")];
}
const language = (i) => { const code = data.names.language[data.items.language[i]]; return code ? ` lang="${escape(code)}"` : ""; };
function rowHtml(k) {
  const { items, answers, models, names, texts } = data, i = shown[k].main;
  const prompt = texts[items.prompt[i]].slice(0, 160).replace(/\s+/g, " ");
  const said = answers.map((of) => (of.said[i] === null ? "" : texts[of.said[i]].slice(0, 60).replace(/\s+/g, " "))).join(" · ");
  const marks = models.map((m, j) => { const [sign, kind, name] = verdict(answers[j].value[i], isLoss(i)); return `<span class="m ${kind}" role="img" aria-label="${escape(`${m}: ${name}`)}" title="${escape(`${m}: ${name}`)}">${sign}</span>`; }).join("");
  return `<div class="row" role="option" id="row-${k}" aria-selected="${shown[k].slug === state.item}" aria-setsize="${shown.length}" aria-posinset="${k + 1}" data-k="${k}"><span class="marks">${marks}</span><span class="q"${language(i)}>${escape(prompt)}</span><span class="w">${escape(names.task[items.task[i]])} · <span${language(i)}>${escape(said)}</span></span></div>`;
}
function drawList() {
  const list = $("list"), from = Math.max(0, Math.floor(list.scrollTop / ROW) - 6);
  const to = Math.min(shown.length, from + Math.ceil(list.clientHeight / ROW) + 12);
  $("seen").style.transform = `translateY(${from * ROW}px)`;
  let html = "";
  for (let k = from; k < to; k++) html += rowHtml(k);
  $("seen").innerHTML = html;
  if (shown.length && at >= from && at < to) list.setAttribute("aria-activedescendant", `row-${at}`); else list.removeAttribute("aria-activedescendant");
}
function refresh(keep) {
  shown = matches();
  $("tall").style.height = `${shown.length * ROW}px`;
  $("count").textContent = t("{n} of {all} questions", { n: number(shown.length), all: number(entries.length) });
  if (!keep) $("list").scrollTop = 0;
  const open = shown.findIndex((one) => one.slug === state.item);
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
  if (!shown.length) { state.item = ""; $("one").innerHTML = `<p class="small">${escape(t("No question is like that."))}</p>`; writeAddress(); return; }
  at = Math.max(0, Math.min(shown.length - 1, k));
  state.item = shown[at].slug;
  if (move) scrollTo(at);
  drawOne(shown[at]);
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

function tokensHtml(row, side) {
  const draw = (ids, kind) => ids.map((p, n) => {
    const text = data.pieces[p];
    const control = /^<[|/]?[^<>\s]+[|]?>$/.test(text) ? " control" : "";
    const ends = kind === "learn" ? (n ? "" : " first") + (n + 1 < ids.length ? "" : " last") : "";
    return `<span class="t ${kind}${control}${ends}">${escape(text).replace(/\n/g, '<i class="nl">⏎</i>\n')}</span>`;
  }).join("");
  return `<div class="tokens" tabindex="0">${draw(row[side], side ? "learn" : "context")}</div>`;
}

// The question as the models read it, once for all that read the same.
function readHtml(items) {
  const read = new Map();
  for (const i of items) data.answers.forEach((of, k) => {
    if (!of.tokens[i]) return;
    const key = of.tokens[i][0].join(" ");
    if (!read.has(key)) read.set(key, { row: of.tokens[i], models: new Set() });
    read.get(key).models.add(data.models[k]);
  });
  return [...read.values()].map(({ row, models }) => `<h3>${escape(t("As the model reads it, {n} tokens", { n: row[0].length }))}${read.size > 1 ? ` · ${escape([...models].join(", "))}` : ""}</h3>${tokensHtml(row, 0)}`).join("");
}

// Metrics that look at the same answers are one block.
function blocksOf(items) {
  const found = new Map();
  for (const i of items) {
    const key = JSON.stringify([data.answers.map((of) => [of.said[i], of.likely[i]]), data.items.gold[i], isLoss(i)]);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(i);
  }
  return [...found.values()];
}

function sideHtml(block, k, opinion) {
  const { items, answers, models, names, texts, leaks } = data, i = block[0], of = answers[k], m = models[k];
  const first = answers[0].said[i] === null ? null : texts[answers[0].said[i]], said = texts[of.said[i]];
  const text = k && first !== null && said !== first ? newer(first, said) : escape(said);
  const [sign, kind, name] = verdict(of.value[i], isLoss(i));
  const values = block.map((j) => `${names.metric[items.metric[j]]} ${of.value[j] === null ? t("no value") : +of.value[j].toFixed(3)}`);
  let html = `<div class="side ${kind}"><div class="who"><b>${escape(m)}</b><span><span class="m ${kind}" aria-hidden="true">${sign}</span>${escape(name)}</span><span>${escape(values.join(", "))}</span>${of.finished[i] ? "" : `<span>${escape(t("cut off"))}</span>`}</div><div class="said"${language(i)}>${text || `<i>${escape(t("nothing"))}</i>`}</div>`;
  if (of.likely[i]) html += optionsHtml(items.options[i].map((one) => texts[one]), of.likely[i], items.gold[i].map((one) => texts[one]), i);
  if (of.thoughts[i] !== null) html += `<details open><summary>${escape(t("All that was said"))}</summary><div class="said"${language(i)}>${escape(texts[of.thoughts[i]])}</div></details>`;
  const leak = leaks[k].get(items.id[i]);
  if (of.leak[i] && leak) html += `<div class="leakbox">${escape(t("Leaked ({kind}) from training row", { kind: leak[0] }))} <code>${escape(leak[1])}</code>: “${escape(leak[2])}”</div>`;
  if (of.tokens[i] && !of.likely[i]) html += `<details><summary>${escape(t("{n} tokens said", { n: of.tokens[i][1].length }))}</summary>${tokensHtml(of.tokens[i], 1)}</details>`;
  if (!of.likely[i] && said.trim()) {
    const mark = opinion?.marks.find((one) => one.model === m && one.text === said)?.score;
    const button = (score, label, spoken) => `<button type="button" data-model="${k}" data-said="${of.said[i]}" data-score="${score}" aria-pressed="${mark === score}" aria-label="${escape(spoken)}">${escape(label)}</button>`;
    html += `<div class="thumbs">${button(1, "▲ " + t("Good"), t("Good answer of {model}", { model: m }))}${button(0, "▼ " + t("Bad"), t("Bad answer of {model}", { model: m }))}</div>`;
  }
  return html + "</div>";
}

function drawOne(entry) {
  const { items, models, names, texts } = data, i = entry.main, opinion = judged.get(entry.slug);
  const place = [names.task[items.task[i]], level(names.level[items.level[i]]), items.shots[i] ? t("{n} examples shown", { n: items.shots[i] }) : "", names.template[items.template[i]]].filter(Boolean);
  let html = `<div class="where">${place.map((p) => `<span>${escape(p)}</span>`).join("")}<a href="#${escape(encodeURIComponent(entry.slug))}">${escape(t("Link to this question"))}</a></div><h2${language(i)}>${escape(texts[items.prompt[i]])}</h2>`;
  html += readHtml(entry.items);
  for (const block of blocksOf(entry.items)) {
    const gold = items.gold[block[0]].map((one) => texts[one]);
    const asked = [...models.keys()].filter((k) => data.answers[k].said[block[0]] !== null);
    if (gold.length) html += `<h3>${escape(isLoss(block[0]) ? t("Given answer") : t("Right answer"))}</h3><div class="gold"${language(i)}>${gold.slice(0, 8).map(escape).join("\n")}</div>`;
    html += `<h3>${escape(t("Answers, by {metrics}", { metrics: block.map((j) => names.metric[items.metric[j]]).join(", ") }))}</h3><div class="sides">${asked.map((k) => sideHtml(block, k, opinion)).join("")}</div>`;
    if (asked.length < models.length) html += `<p class="small">${escape(t("Not asked: {models}", { models: models.filter((_, k) => !asked.includes(k)).join(", ") }))}</p>`;
  }
  html += `<label class="note">${escape(t("Note"))}<textarea id="note" rows="2">${escape(opinion?.note ?? "")}</textarea></label>`;
  html += `<p class="keys2"><kbd>↑</kbd> <kbd>↓</kbd> <kbd>Home</kbd> <kbd>End</kbd> ${escape(t("in the list"))}, <kbd>/</kbd> ${escape(t("search"))}. ${escape(entry.slug)}</p>`;
  $("one").innerHTML = html;
  $("one").scrollTop = 0;
}

function optionsHtml(names, likely, gold, i) {
  const best = Math.max(...likely.filter((x) => x !== null));
  const p = likely.map((x) => (x === null ? 0 : Math.exp(x - best))), sum = p.reduce((a, b) => a + b, 0);
  return `<div class="opts"${language(i)}>${names.map((name, k) => `<span class="${likely[k] === best ? "chosen" : ""} ${gold.includes(name) ? "right" : ""}">${escape(name)}${gold.includes(name) ? " ✓" : ""}</span><span class="bar2"><i style="width:${(100 * p[k]) / sum}%"></i></span><span>${likely[k] === null ? "–" : likely[k].toFixed(1)}</span>`).join("")}</div>`;
}

// -- what a person thinks of answers ----------------------------------------------------------------------------------

const shelf = () => `tunesmith answers: ${document.title}: ${entries.length} ${entries[0]?.slug ?? ""}`;
function recall() {
  try { judged = new Map(JSON.parse(localStorage.getItem(shelf()) ?? "[]")); } catch { judged = new Map(); }
}
function keep(entry, opinion) {
  if (opinion.marks.length || opinion.note) judged.set(entry.slug, opinion); else judged.delete(entry.slug);
  try { localStorage.setItem(shelf(), JSON.stringify([...judged])); } catch { tell(t("This browser keeps nothing. Download the comparisons before you close the page.")); }
  countJudged();
}
function countJudged() {
  const rows = comparisons().length;
  $("judged").disabled = !rows;
  $("judged").textContent = t("Download comparisons ({n})", { n: rows });
}
// Rows of the reader `preference`: judged answers beside each other where a person likes one better, else thumbs.
function comparisons() {
  const rows = [];
  for (const [slug, { marks, note }] of judged) {
    const entry = bySlug.get(slug);
    if (!entry) continue;
    const unlike = new Map();
    for (const mark of marks) unlike.set(mark.text.trim(), mark);
    const rated = [...unlike.values()], prompt = data.texts[data.items.prompt[entry.items[0]]];
    const more = { id: slug, ...(note ? { note } : {}) };
    if (new Set(rated.map((mark) => mark.score)).size > 1)
      rows.push({ prompt, answers: rated.map((mark) => mark.text), scores: rated.map((mark) => mark.score), models: rated.map((mark) => mark.model), ...more });
    else for (const mark of rated) rows.push({ prompt, completion: mark.text, label: mark.score === 1, model: mark.model, ...more });
  }
  return rows;
}
function judge(button) {
  const entry = shown[at], opinion = judged.get(entry.slug) ?? { marks: [], note: "" };
  const model = data.models[button.dataset.model], text = data.texts[button.dataset.said], score = Number(button.dataset.score);
  const before = opinion.marks.find((one) => one.model === model && one.text === text)?.score;
  const marks = opinion.marks.filter((one) => !(one.model === model && one.text === text));
  if (before !== score) marks.push({ model, text, score });
  keep(entry, { ...opinion, marks });
  for (const one of $("one").querySelectorAll(".thumbs button"))
    if (one.dataset.model === button.dataset.model && one.dataset.said === button.dataset.said) one.setAttribute("aria-pressed", String(before !== score && one.dataset.score === button.dataset.score));
}

// -- downloads ------------------------------------------------------------------------------------------------------

// Every answer to the questions that are listed: a row for each model and metric.
function answerRows() {
  const { items, answers, models, names, texts } = data, rows = [];
  for (const entry of shown) for (const i of entry.items) models.forEach((model, k) => {
    const of = answers[k];
    if (of.said[i] === null) return;
    const named = Object.fromEntries(["level", "format", "metric", "task", "template", "language"].map((name) => [name, names[name][items[name][i]]]));
    rows.push({ id: items.id[i], model, ...named, shots: items.shots[i], prompt: texts[items.prompt[i]], answer: texts[of.said[i]], gold: items.gold[i].map((one) => texts[one]), value: of.value[i], finished: of.finished[i] === 1, leak: of.leak[i] });
  });
  return rows;
}
function csv(rows) {
  const field = (value) => {
    let text = Array.isArray(value) ? value.join("\n") : value === null ? "" : String(value);
    if (typeof value !== "number" && /^[=+\-@\t\r]/.test(text) && isNaN(Number(text))) text = "'" + text; // a program for tables would run it
    return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };
  const names = Object.keys(rows[0] ?? {});
  return [names.join(","), ...rows.map((row) => names.map((name) => field(row[name])).join(","))].join("\r\n") + "\r\n";
}
const jsonl = (rows) => rows.map((row) => JSON.stringify(row) + "\n").join("");
function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  tell(t("Downloaded {file}.", { file: name }));
}

// -- start ----------------------------------------------------------------------------------------------------------

function view() {
  const answers = state.view === "answers";
  for (const name of ["figures", "answers"]) {
    const on = answers === (name === "answers");
    $(name).hidden = !on;
    $(`to-${name}`).setAttribute("aria-selected", String(on));
    $(`to-${name}`).tabIndex = on ? 0 : -1;
  }
  if (answers) { for (const id of ["text", ...FILTERS]) $(id).value = state[id]; refresh(true); }
}
function go(to) { Object.assign(state, to); writeAddress(); view(); }

function listen() {
  for (const name of ["figures", "answers"]) {
    $(`to-${name}`).onclick = () => go({ view: name });
    $(`to-${name}`).onkeydown = (e) => {
      if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(e.key)) return;
      e.preventDefault();
      const other = e.key === "Home" ? "figures" : e.key === "End" ? "answers" : name === "figures" ? "answers" : "figures";
      go({ view: other });
      $(`to-${other}`).focus();
    };
  }
  for (const id of FILTERS) $(id).onchange = () => { state[id] = $(id).value; writeAddress(); refresh(false); };
  let typing;
  $("text").oninput = () => { clearTimeout(typing); typing = setTimeout(() => { state.text = $("text").value; writeAddress(); refresh(false); }, 120); };
  $("reset").onclick = () => go({ text: "", ...Object.fromEntries(FILTERS.map((id) => [id, ""])) });
  let drawing = false;
  $("list").onscroll = () => { if (!drawing) { drawing = true; requestAnimationFrame(() => { drawing = false; drawList(); }); } };
  $("seen").onclick = (e) => { const row = e.target.closest(".row"); if (row) select(Number(row.dataset.k), false); };
  $("one").onclick = (e) => { const button = e.target.closest(".thumbs button"); if (button) judge(button); };
  $("one").onchange = (e) => { if (e.target.id === "note") keep(shown[at], { marks: [], ...judged.get(shown[at].slug), note: e.target.value.trim() }); };
  $("csv").onclick = () => download("answers.csv", csv(answerRows()), "text/csv");
  $("jsonl").onclick = () => download("answers.jsonl", jsonl(answerRows()), "application/jsonl");
  $("judged").onclick = () => download("comparisons.jsonl", jsonl(comparisons()), "application/jsonl");
  window.onresize = () => { if (state.view === "answers") drawList(); };
  window.onhashchange = () => { readAddress(); view(); };
  document.onkeydown = (e) => {
    if (state.view !== "answers" || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "/" && !e.target.matches("input, select, textarea")) { e.preventDefault(); $("text").focus(); return; }
    if (e.target !== $("list") && e.target !== document.body) return;
    const page = Math.max(1, Math.floor($("list").clientHeight / ROW) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: shown.length - 1 }[e.key];
    if (to !== undefined) { e.preventDefault(); select(to); }
  };
}

unpack().then((found) => {
  data = found;
  data.leaks = data.leaks.map((pairs) => new Map(pairs));
  data.levels = new Map(data.levels);
  entries = data.entries.map((slug) => ({ slug, items: [], main: 0 }));
  data.items.entry.forEach((entry, i) => entries[entry].items.push(i));
  bySlug = new Map(entries.map((entry) => [entry.slug, entry]));
  $("about").textContent = t("{n} questions, {models}", { n: number(entries.length), models: data.models.join(", ") });
  recall(); readAddress(); drawFigures(); fillFilters(); countJudged();
  $("more").open = matchMedia("(min-width: 48rem)").matches;
  view(); listen();
  $("wait").remove();
  document.body.dataset.ready = "1";
}).catch((error) => { $("wait").textContent = `The page cannot be shown (${error.message}). It needs Chrome 80, Firefox 113, Safari 16.4 or later.`; });
