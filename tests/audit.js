// What a page gets wrong for people who read it with a keyboard, a reader of screens, or weak eyes. Gives a list of faults.
(() => {
  const faults = [];
  const fault = (what, e) => faults.push(`${what}: <${e.tagName.toLowerCase()} ${e.id || e.className?.baseVal || e.className}> ${(e.textContent || "").trim().slice(0, 40)}`);
  const visible = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true }) && e.getBoundingClientRect().width > 1;
  const all = [...document.body.querySelectorAll("*")].filter((e) => !e.closest("script, style"));

  // Colours: 4.5, or 3 for large text.
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
  const over = (top, below) => ({ r: top.r * top.a + below.r * (1 - top.a), g: top.g * top.a + below.g * (1 - top.a), b: top.b * top.a + below.b * (1 - top.a), a: 1 });
  const light = ({ r, g, b }) => { const [x, y, z] = [r, g, b].map((v) => { const u = v / 255; return u <= 0.04045 ? u / 12.92 : ((u + 0.055) / 1.055) ** 2.4; }); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
  const behind = (e) => { const layers = []; for (let x = e; x; x = x.parentElement) { const c = parse(getComputedStyle(x).backgroundColor.startsWith("rgb") ? getComputedStyle(x).backgroundColor : "rgba(0,0,0,0)"); if (c.a) layers.push(c); if (c.a === 1) break; } return layers.reverse().reduce((below, top) => over(top, below), { r: 255, g: 255, b: 255, a: 1 }); };
  for (const e of all) {
    if (e.closest("svg, .unseen, [aria-hidden=true], button:disabled") || !visible(e) || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const back = behind(e), [a, b] = [light(back), light(over(parse(style.color), back))].sort((x, y) => x - y);
    const contrast = (b + 0.05) / (a + 0.05);
    if (contrast < (large ? 3 : 4.5)) fault(`contrast ${contrast.toFixed(2)}`, e);
  }

  // Names, captions, heads, ids, languages.
  for (const e of all.filter((e) => e.matches("a[href], button, input, select, textarea, [role=tab], [role=listbox], [role=tabpanel], nav, [role=img], [role=region]"))) {
    const label = e.getAttribute("aria-label") || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent || e.labels?.[0]?.textContent || (e.matches("a, button, [role=tab]") && e.textContent);
    if (!label || !label.trim()) fault("no name", e);
  }
  for (const e of document.querySelectorAll("table")) if (!e.caption?.textContent.trim()) fault("no caption", e);
  for (const e of document.querySelectorAll("th")) if (!e.scope) fault("no scope", e);
  const ids = all.map((e) => e.id).filter(Boolean);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) faults.push(`id twice: ${id}`);
  let before = 0;
  for (const e of document.querySelectorAll("h1, h2, h3, h4")) { if (!e.checkVisibility()) continue; const rank = Number(e.tagName[1]); if (rank > before + 1) fault(`h${rank} after h${before}`, e); before = rank; }
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
  if (!/^(en|zh)$/.test(document.documentElement.lang)) faults.push("no language");
  for (const e of all) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && /[\u4e00-\u9fff]{2}/.test(n.data))) continue;
    if (e.closest("[lang]")?.lang !== "zh" && !e.closest(".tokens, code, summary, .recipe, select")) fault("Chinese without lang", e);
  }
  // What scrolls can be reached.
  for (const e of all) {
    const style = getComputedStyle(e);
    if (!/auto|scroll/.test(style.overflowX + style.overflowY) || !visible(e)) continue;
    if ((e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1) && e.tabIndex < 0 && !e.querySelector("a[href], button, input, select, textarea, [tabindex='0']")) fault("scrolls, and no key gets there", e);
  }
  // Nothing is wider than the window, but what is scrolled on purpose.
  const scrolls = (e) => e && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  for (const e of all) {
    const box = e.getBoundingClientRect();
    if (box.width > 1 && box.right > innerWidth + 1 && visible(e) && !e.closest("svg, .unseen, .skip, .row > *, table thead") && !scrolls(e.parentElement)) fault("beyond the window", e);
  }
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} wide`);
  return faults;
})()
