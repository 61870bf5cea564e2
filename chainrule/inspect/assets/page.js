// What a person does with the picture: pan, zoom, search, fold and unfold, and step through the two passes.
(() => {
  "use strict";
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const $ = id => document.getElementById(id);
  const data = read("data"), all = read("words"), help = Picture.prepare(data), state = Picture.begin(data);
  let lang = document.documentElement.lang || (navigator.language.startsWith("es") ? "es" : "en");
  let words = all[lang], drawn, view = {x: 0, y: 0, k: 1}, at = 0, steps = [], chosen = null;
  const stage = $("stage"), esc = Picture.escape;
  const each = (selector, f) => document.querySelectorAll(selector).forEach(f);

  // ---- drawing

  function draw(keep) {
    drawn = Picture.draw(data, help, state, words);
    stage.innerHTML = `<svg role="group" aria-label="${esc(words.picture)}"><g id="scene">${drawn.svg}</g></svg>`;
    const done = steps.length ? at / steps.length : 1;
    steps = passes();
    at = done === 1 ? steps.length : Math.min(at, steps.length);
    if (!keep) fit();
    move();
    reveal(false);
    mark();
  }

  function move() { $("scene").setAttribute("transform", `translate(${view.x},${view.y}) scale(${view.k})`); }

  function fit() {
    const box = stage.getBoundingClientRect();
    const whole = Math.min(box.width / drawn.width, box.height / drawn.height);
    const k = Math.min(1.6, whole < 0.7 ? 0.8 : whole); // so small that nobody could read it: show the beginning instead
    view = {k, x: Math.max(8, (box.width - drawn.width * k) / 2), y: Math.max(8, (box.height - drawn.height * k) / 2)};
  }

  function zoom(factor, x, y) {
    const box = stage.getBoundingClientRect();
    if (x === undefined) { x = box.width / 2; y = box.height / 2; }
    const k = Math.min(6, Math.max(0.02, view.k * factor));
    view = {k, x: x - (x - view.x) * k / view.k, y: y - (y - view.y) * k / view.k};
    move();
  }

  function shown(id) { // brings an item into the middle, if it is outside
    const item = drawn.visible.items.find(it => it.id === id), box = stage.getBoundingClientRect();
    if (!item) return;
    const x = item.x * view.k + view.x, y = item.y * view.k + view.y;
    if (x > 30 && y > 30 && x < box.width - 30 && y < box.height - 30) return;
    view.x += box.width / 2 - x;
    view.y += box.height / 2 - y;
    move();
  }

  // ---- the two passes, a step for each visible item and line

  function passes() {
    const order = drawn.visible.items.filter(item => item.nodes.some(i => data.nodes[i].value || data.nodes[i].kind !== "constant"));
    const list = order.map(item => ({kind: "forward", id: item.id}));
    if (data.output < 0) return list;
    list.push({kind: "seed", id: drawn.visible.rep[data.output].id});
    const line = new Map();
    drawn.visible.lines.forEach(l => l.edges.forEach(k => line.set(k, l.id)));
    const seen = new Set();
    for (const k of data.backward) {
      const id = line.get(k);
      if (id === undefined || seen.has(id)) continue;
      seen.add(id);
      list.push({kind: "backward", id, edge: k});
    }
    return list;
  }

  function reveal(speak) {
    const values = new Set(), grads = new Set(), now = at > 0 && at < steps.length ? steps[at - 1] : null;
    steps.slice(0, at).forEach(s => (s.kind === "backward" ? grads : values).add(s.id));
    const seeded = steps.slice(0, at).some(s => s.kind === "seed");
    each(".item", g => g.classList.toggle("now", !!now && now.id === g.dataset.id));
    each("g.line", g => {
      const result = g.classList.contains("result");
      const line = drawn.visible.lines.find(l => l.id === g.dataset.id);
      const from = result ? drawn.visible.rep[Number(g.dataset.id.slice(6))].id : line.a;
      g.querySelector(".value").classList.toggle("waiting", !values.has(from) && steps.some(s => s.id === from));
      g.querySelector(".grad").classList.toggle("waiting", result ? !seeded : !grads.has(g.dataset.id) && steps.some(s => s.id === g.dataset.id));
      g.classList.toggle("now", !!now && now.id === g.dataset.id);
    });
    $("place").textContent = `${at} / ${steps.length}`;
    $("story").innerHTML = at === 0 ? esc(words.start) : told(steps[at - 1]);
    if (speak && at > 0) shown(steps[at - 1].kind === "backward" ? drawn.visible.lines.find(l => l.id === steps[at - 1].id).a : steps[at - 1].id);
  }

  const name = i => data.nodes[i].name || data.nodes[i].symbol;
  const value = text => `<span class="number-value">${esc(text)}</span>`;
  const grad = text => `<span class="number-grad">${esc(text)}</span>`;

  function told(step) {
    if (step.kind === "seed")
      return `<b>${esc(words.pass_backward)}</b>: ${esc(words.seed)} ${grad(data.nodes[data.output].grad.text)}`;
    if (step.kind === "forward") {
      const head = `<b>${esc(words.pass_forward)}</b>: `;
      if (Picture.isGroup(step.id)) return head + esc(data.groups[Picture.index(step.id)].name);
      const node = data.nodes[Picture.index(step.id)];
      const parts = [esc(node.name || ""), node.formula && node.formula !== node.name ? esc(node.formula) : "",
                     node.filled ? esc(node.filled) : "", node.value ? value(node.value.text) : ""];
      return head + parts.filter(Boolean).join(" = ");
    }
    const line = drawn.visible.lines.find(l => l.id === step.id), edge = data.edges[step.edge], result = name(data.output);
    const head = `<b>${esc(words.pass_backward)}</b>: `;
    if (line.edges.length > 1) {
      const grads = line.text[1] ? ` = ${grad(line.text[1])}` : "";
      return `${head}∂${esc(result)}/∂${esc(name(edge.from))}${grads}`;
    }
    const to = esc(name(edge.to)), from = esc(name(edge.from));
    const rule = edge.rule && edge.rule !== edge.local ? `${esc(edge.rule)} = ` : "";
    const left = edge.local !== undefined
      ? `${esc(words.local)} ∂${to}/∂${from} = ${rule}${value(edge.local)} × ${esc(words.incoming)} ∂${esc(result)}/∂${to} = ${grad(edge.in)}`
      : `${esc(words.incoming)} ∂${esc(result)}/∂${to} = ${grad(edge.in)}; ${esc(edge.rule || "")}`;
    const others = help.uses[edge.from].filter(k => data.edges[k].out !== undefined);
    const last = others.every(k => k === step.edge || data.backward.indexOf(k) < data.backward.indexOf(step.edge));
    const sum = others.length > 1 && last && data.nodes[edge.from].grad
      ? `; ${esc(words.complete)}: ∂${esc(result)}/∂${from} = ${grad(data.nodes[edge.from].grad.text)}` : "";
    return `${head}${left} = ${esc(words.outgoing)} ${grad(edge.out)}${sum}`;
  }

  function go(to) { at = Math.max(0, Math.min(steps.length, to)); reveal(true); }

  // ---- details

  function bars(bins) {
    const top = Math.max(...bins, 1);
    const rects = bins.map((n, k) => `<rect x="${k * 10}" y="${40 - 40 * n / top}" width="9" height="${40 * n / top}"/>`).join("");
    return `<svg class="bars" viewBox="0 0 ${bins.length * 10} 40" preserveAspectRatio="none" role="img" aria-label="${esc(words.histogram)}: ${bins.join(", ")}">${rects}</svg>`;
  }

  function numbers(title, found, kind) {
    if (!found) return "";
    const rows = ["mean", "std", "min", "max", "odd"].filter(k => found[k] !== undefined)
      .map(k => `<dt>${esc(words[k])}</dt><dd>${esc(found[k])}</dd>`).join("");
    return `<h3 class="number-${kind}">${esc(title)}</h3><dl><dt>=</dt><dd class="number-${kind}" data-${kind}>${esc(found.all || found.text)}</dd>${rows}</dl>` +
      (found.bins ? bars(found.bins) : "");
  }

  function tell() {
    const panel = $("details");
    if (chosen === null) { panel.innerHTML = `<p>${esc(words.choose)}</p>`; return; }
    if (Picture.isGroup(chosen)) {
      const g = Picture.index(chosen), group = data.groups[g];
      panel.innerHTML = `<h2>${esc(group.name)}</h2><p>${help.members[g].length} ${esc(words.nodes)}</p>` + controls(g);
    } else {
      const node = data.nodes[Picture.index(chosen)];
      const rows = [["operation", node.op], ["formula", node.formula], ["shape", node.type], ["source", node.source]]
        .filter(r => r[1]).map(r => `<dt>${esc(words[r[0]])}</dt><dd>${esc(r[1])}</dd>`).join("");
      panel.innerHTML = `<h2>${esc(node.name || node.symbol)}</h2>${node.doc ? `<p>${esc(node.doc)}</p>` : ""}<dl>${rows}</dl>` +
        numbers(words.value, node.value, "value") + numbers(words.gradient, node.grad, "grad") +
        help.above(node.group).map(controls).join("");
    }
  }

  function controls(g) {
    const group = data.groups[g];
    if (group.kind === "loop") {
      const flat = state.unrolled.has(g), now = (state.step[g] || 0) + 1, last = help.steps[g].length;
      return `<p>${esc(group.name)}: <button data-roll="${g}">${esc(flat ? words.roll : words.unroll)}</button> ` +
        (flat ? "" : `<label>${esc(words.turns)} <input type="range" data-turn="${g}" min="1" max="${last}" value="${now}"> ` +
        `<output>${now} ${esc(words.of)} ${last}</output></label>`) + "</p>";
    }
    if (group.kind === "step" && !state.unrolled.has(group.p)) return "";
    return `<p>${esc(group.name)}: <button data-fold="${g}">${esc(state.open.has(g) ? words.close : words.open)}</button></p>`;
  }

  function choose(id) { chosen = id; mark(); tell(); }

  function mark() {
    const hit = found($("search").value);
    each(".item", g => {
      g.classList.toggle("chosen", g.dataset.id === chosen);
      g.classList.toggle("hit", hit.has(g.dataset.id));
    });
  }

  function toggle(g) {
    const open = !state.open.has(g);
    open ? state.open.add(g) : state.open.delete(g);
    chosen = open ? null : "g" + g;
    draw(true);
    tell();
    const next = open ? drawn.visible.items.find(it => it.nodes.some(i => help.members[g].includes(i))) : {id: "g" + g};
    if (next) { shown(next.id); focus(next.id); }
  }

  function focus(id) { const g = document.querySelector(`.item[data-id="${id}"]`); if (g) g.focus({preventScroll: true}); }

  // ---- search

  function found(text) {
    const hit = new Set(), wanted = text.trim().toLowerCase();
    if (!wanted) return hit;
    data.nodes.forEach((node, i) => {
      if ([node.name, node.op, node.formula, node.source].some(t => t && t.toLowerCase().includes(wanted))) hit.add(drawn.visible.rep[i].id);
    });
    data.groups.forEach((group, g) => { if (group.name.toLowerCase().includes(wanted)) hit.add("g" + g); });
    return hit;
  }

  $("search").addEventListener("input", () => {
    const hit = [...found($("search").value)].filter(id => drawn.visible.items.some(it => it.id === id));
    $("hits").textContent = $("search").value ? `${hit.length} ${words.found}` : "";
    mark();
    if (hit.length) shown(hit[0]);
  });
  $("search").addEventListener("keydown", event => {
    if (event.key !== "Enter") return;
    const hit = drawn.visible.items.find(it => found($("search").value).has(it.id));
    if (hit) { choose(hit.id); focus(hit.id); }
  });

  // ---- words, in two languages

  function label() {
    words = all[lang];
    document.documentElement.lang = lang;
    each("[data-text]", e => { e.textContent = words[e.dataset.text]; });
    each("[data-label]", e => { e.setAttribute("aria-label", words[e.dataset.label]); e.title = words[e.dataset.label]; });
    $("search").placeholder = words.search;
    const head = ["name", "formula", "shape", "value", "gradient"].map(k => `<th scope="col">${esc(words[k])}</th>`).join("");
    const rows = data.nodes.map(n => `<tr><th scope="row">${esc(n.name || n.symbol)}</th>` +
      [n.formula || "", n.type, n.value ? n.value.text : "", n.grad ? n.grad.text : ""].map(t => `<td>${esc(t)}</td>`).join("") + "</tr>");
    $("table").lastElementChild.innerHTML = `<table><thead><tr>${head}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
  }

  // ---- hands

  const press = (id, f) => $(id).addEventListener("click", f);
  press("begin", () => go(0));
  press("back", () => go(at - 1));
  press("forward", () => go(at === steps.length ? 1 : at + 1)); // at the end it begins anew
  press("end", () => go(steps.length));
  press("fit", () => { const box = stage.getBoundingClientRect(); fit();
    const k = Math.min(1.6, box.width / drawn.width, box.height / drawn.height);
    view = {k, x: (box.width - drawn.width * k) / 2, y: (box.height - drawn.height * k) / 2}; move(); });
  press("larger", () => zoom(1.25));
  press("smaller", () => zoom(0.8));
  press("turn", () => { state.dir = (state.dir || (drawn.width > drawn.height ? "LR" : "TB")) === "LR" ? "TB" : "LR"; draw(false); });
  press("unfold", () => { data.groups.forEach((_, g) => state.open.add(g)); draw(false); });
  press("fold", () => { data.groups.forEach((group, g) => { if (Picture.folds(group)) state.open.delete(g); }); state.unrolled.clear(); draw(false); });
  press("language", () => { lang = lang === "en" ? "es" : "en"; label(); draw(true); tell(); });
  press("theme", () => {
    const root = document.documentElement;
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  });

  stage.addEventListener("click", event => {
    const g = event.target.closest(".item");
    if (g) choose(g.dataset.id);
  });
  stage.addEventListener("dblclick", event => {
    const g = event.target.closest(".item"), box = event.target.closest(".box");
    if (g && Picture.isGroup(g.dataset.id)) toggle(Picture.index(g.dataset.id));
    else if (box && Picture.folds(data.groups[box.dataset.group])) toggle(Number(box.dataset.group));
  });
  $("details").addEventListener("click", event => {
    const {fold, roll} = event.target.dataset;
    if (fold !== undefined) toggle(Number(fold));
    if (roll !== undefined) {
      const g = Number(roll);
      state.unrolled.has(g) ? state.unrolled.delete(g) : state.unrolled.add(g);
      if (state.unrolled.has(g) && help.members[g].length > 40) help.steps[g].forEach(s => state.open.delete(s));
      chosen = null;
      draw(false);
      tell();
    }
  });
  $("details").addEventListener("change", event => {
    if (event.target.dataset.turn === undefined) return;
    state.step[event.target.dataset.turn] = Number(event.target.value) - 1;
    const order = chosen && !Picture.isGroup(chosen) ? help.twin.get(Picture.index(chosen)) : null;
    draw(true);
    if (order) chosen = drawn.visible.rep[Picture.index(chosen)].id;
    mark();
    tell();
  });

  document.addEventListener("keydown", event => {
    const typing = event.target.closest("input"), item = event.target.closest(".item");
    if (event.key === "/" && !typing) { event.preventDefault(); $("search").focus(); return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {ArrowRight: () => go(at + 1), ArrowLeft: () => go(at - 1), Home: () => go(0), End: () => go(steps.length),
                  "+": () => zoom(1.25), "-": () => zoom(0.8), "0": () => { fit(); move(); }};
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
    if (item && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      if (Picture.isGroup(item.dataset.id) && item.dataset.id === chosen) toggle(Picture.index(item.dataset.id));
      else if (Picture.isGroup(item.dataset.id) && event.key === "Enter") toggle(Picture.index(item.dataset.id));
      else choose(item.dataset.id);
    }
  });
  stage.addEventListener("focusin", event => { const g = event.target.closest(".item"); if (g) { shown(g.dataset.id); choose(g.dataset.id); } });
  stage.addEventListener("wheel", event => {
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 500), event.clientX - box.left, event.clientY - box.top);
  }, {passive: false});
  const fingers = new Map();
  stage.addEventListener("pointerdown", event => fingers.set(event.pointerId, [event.clientX, event.clientY]));
  stage.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before || !event.buttons) return;
    if (fingers.size === 1) { view.x += event.clientX - before[0]; view.y += event.clientY - before[1]; move(); } else {
      const [p, q] = [...fingers.entries()].map(([id, xy]) => id === event.pointerId ? [event.clientX, event.clientY] : xy);
      const [r, s] = [...fingers.values()], box = stage.getBoundingClientRect();
      zoom(Math.hypot(p[0] - q[0], p[1] - q[1]) / Math.max(1, Math.hypot(r[0] - s[0], r[1] - s[1])),
           (p[0] + q[0]) / 2 - box.left, (p[1] + q[1]) / 2 - box.top);
    }
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  for (const kind of ["pointerup", "pointercancel", "pointerleave"]) stage.addEventListener(kind, event => fingers.delete(event.pointerId));
  addEventListener("resize", () => { fit(); move(); });

  if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.dataset.theme = "dark";
  label();
  draw(false);
  tell();
  document.documentElement.dataset.ready = "yes";
})();
