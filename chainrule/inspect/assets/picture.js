// Draws the data of a graph (chainrule/inspect/picture.py) as SVG. Needs dagre for the layout, and nothing of a browser:
// Python runs the same program to write SVG and PNG.
"use strict";
const Picture = (() => {
  const CHAR = 7.3, SMALL = 6.4; // widths of a character in the two sizes, in pixels
  const LONGEST = 22;            // characters of a label
  const WIDE = 26;               // visible nodes up to which a picture runs from left to right

  const escape = text => String(text).replace(/[&<>"']/g, c => "&#" + c.charCodeAt(0) + ";");
  const cut = (text, n = LONGEST) => text.length > n ? text.slice(0, n - 1) + "…" : text;

  // The chains of groups, and which nodes of the steps of a loop correspond.
  function prepare(data) {
    const chain = data.groups.map(() => null);
    const above = g => g < 0 ? [] : chain[g] || (chain[g] = [...above(data.groups[g].p), g]);
    data.groups.forEach((_, g) => above(g));
    const members = data.groups.map(() => []);
    data.nodes.forEach((node, i) => above(node.group).forEach(g => members[g].push(i)));
    const steps = data.groups.map(() => []);
    data.groups.forEach((group, g) => { if (group.kind === "step") steps[group.p].push(g); });
    const twin = new Map(); // for a node in a step: [loop, ordinal]
    steps.forEach(list => list.forEach(g => members[g].forEach((i, k) => {
      if (!twin.has(i)) twin.set(i, []);
      twin.get(i).push([data.groups[g].p, g, k]);
    })));
    const uses = data.nodes.map(() => []);
    data.edges.forEach((e, k) => uses[e.from].push(k));
    return {above, members, steps, twin, uses};
  }

  // What begins folded: layers and other scopes, and stretches of lines.
  const folds = group => group.kind === "scope" || group.kind === "lines";

  // How a picture begins: layers closed; loops that show one step; few nodes open at once.
  function begin(data) {
    const open = new Set();
    data.groups.forEach((group, g) => {
      if (!folds(group) || (group.kind === "scope" && data.nodes.length <= 12)) open.add(g);
    });
    return {open, unrolled: new Set(), step: {}, dir: ""};
  }

  // The node or group that stands for node i in this state; the step that it is a copy of if any.
  function representative(data, help, state, i) {
    let shown = i, moved = null;
    for (const [loop, g, k] of help.twin.get(i) || []) {
      if (state.unrolled.has(loop)) continue;
      const now = help.steps[loop][state.step[loop] || 0];
      if (g !== now && help.members[now][k] !== undefined) {
        shown = help.members[now][k];
        moved = [loop, data.groups[g].n];
      } else if (moved === null) moved = [loop, data.groups[g].n];
      break;
    }
    for (const g of help.above(data.nodes[shown].group)) {
      const group = data.groups[g];
      const one = group.kind === "step" && !state.unrolled.has(group.p);
      if (!one && !state.open.has(g)) return {id: "g" + g, moved};
    }
    return {id: "n" + shown, moved};
  }

  // What is visible: items in the order of the program, lines between them.
  function project(data, help, state) {
    const rep = data.nodes.map((_, i) => representative(data, help, state, i));
    const items = new Map(), lines = new Map();
    data.nodes.forEach((node, i) => {
      const id = rep[i].id;
      if (!items.has(id)) items.set(id, {id, nodes: [], order: items.size});
      items.get(id).nodes.push(i);
    });
    data.edges.forEach((edge, k) => {
      const a = rep[edge.from], b = rep[edge.to];
      const back = a.moved && b.moved && a.moved[0] === b.moved[0] && a.moved[1] < b.moved[1];
      if (a.id === b.id && !back) return;
      const id = a.id + ">" + b.id + (back ? "!" : "") + (edge.twice ? "#" + k : "");
      if (!lines.has(id)) lines.set(id, {id, a: a.id, b: b.id, back, edges: []});
      lines.get(id).edges.push(k);
    });
    lines.forEach(line => { line.rep = rep; });
    return {items: [...items.values()], lines: [...lines.values()], rep};
  }

  const isGroup = id => id[0] === "g";
  const index = id => Number(id.slice(1));

  function label(data, id) {
    if (isGroup(id)) return data.groups[index(id)].name;
    const node = data.nodes[index(id)];
    return node.symbol;
  }

  function labels(data, help, line) {
    // the value that goes forward along a line, the gradient that comes back; in a loop those of the step that is shown
    const here = line.edges.filter(k => !line.rep || line.rep[data.edges[k].from].id === "n" + data.edges[k].from);
    if (here.length && here.length < line.edges.length) return labels(data, help, {edges: here});
    const from = [...new Set(line.edges.map(k => data.edges[k].from))];
    if (from.length > 1) return ["× " + from.length, ""];
    const node = data.nodes[from[0]];
    const value = node.value ? cut(node.value.text, 18) : "";
    const flowing = line.edges.filter(k => data.edges[k].out !== undefined);
    let grad = "";
    if (line.edges.length === 1 && flowing.length) grad = cut(data.edges[flowing[0]].out, 18);
    else if (flowing.length && help.uses[from[0]].every(k => line.edges.includes(k) || data.edges[k].out === undefined))
      grad = node.grad ? cut(node.grad.text, 18) : "";
    return [value, grad];
  }

  function layout(data, help, state, visible) {
    const dir = state.dir || (visible.items.length <= WIDE ? "LR" : "TB");
    const g = new dagre.graphlib.Graph({compound: true, multigraph: true});
    g.setGraph({rankdir: dir, nodesep: 26, ranksep: dir === "LR" ? 34 : 30, edgesep: 14, marginx: 16, marginy: 16,
                ranker: visible.items.length > 150 ? "longest-path" : "network-simplex"});
    g.setDefaultEdgeLabel(() => ({}));
    for (const item of visible.items) {
      const text = cut(label(data, item.id)), group = isGroup(item.id);
      const under = group ? "" : data.nodes[index(item.id)].name;
      const more = under && under !== text ? cut(under, 14).length * SMALL : 0;
      item.width = Math.max(40, text.length * CHAR + (group ? 34 : 22), more + 16);
      item.height = group ? 42 : 40;
      g.setNode(item.id, {width: item.width, height: item.height});
    }
    const boxes = new Set();
    for (const item of visible.items) {
      const own = isGroup(item.id) ? help.above(data.groups[index(item.id)].p) : help.above(data.nodes[index(item.id)].group);
      let inner = null;
      for (const group of own) {
        const kind = data.groups[group].kind;
        if (kind === "step" && !state.unrolled.has(data.groups[group].p)) continue;
        if (!boxes.has(group)) {
          boxes.add(group);
          g.setNode("box" + group, {label: data.groups[group].name});
          if (inner !== null) g.setParent("box" + group, "box" + inner);
        }
        inner = group;
      }
      if (inner !== null) g.setParent(item.id, "box" + inner);
    }
    for (const line of visible.lines) {
      line.text = labels(data, help, line);
      const width = Math.max(...line.text.map(t => t.length)) * SMALL + 8;
      const [from, to] = line.back ? [line.b, line.a] : [line.a, line.b]; // so that nothing runs in a circle
      g.setEdge(from, to, {width, height: 30, labelpos: "c", weight: line.back ? 0 : 1}, line.id);
    }
    dagre.layout(g);
    for (const item of visible.items) Object.assign(item, (({x, y}) => ({x, y}))(g.node(item.id)));
    for (const line of visible.lines) {
      const e = g.edge(line.back ? {v: line.b, w: line.a, name: line.id} : {v: line.a, w: line.b, name: line.id});
      line.points = line.back ? [...e.points].reverse() : e.points;
      const off = p => Math.hypot(p.x - e.x, p.y - e.y), near = e.points.reduce((a, b) => off(a) < off(b) ? a : b);
      const place = off(near) > 40 ? e.points[e.points.length >> 1] : e; // the label stands by its line
      line.x = place.x; line.y = place.y;
    }
    const size = g.graph();
    const entries = visible.items.filter(item => item.id[0] === "n" && data.nodes[index(item.id)].kind === "input");
    let turned = 0; // inputs stand in their order, from above
    entries.forEach((p, i) => entries.slice(i + 1).forEach(q => { turned += Math.sign(p.y - q.y); }));
    if (dir === "LR" && turned > 0) {
      const flip = o => { if (o && o.y !== undefined) o.y = size.height - o.y; };
      visible.items.forEach(flip);
      visible.lines.forEach(line => { flip(line); line.points = line.points.map(q => ({x: q.x, y: size.height - q.y})); });
      boxes.forEach(b => flip(g.node("box" + b)));
    }
    return {width: size.width, height: size.height, dir,
            boxes: [...boxes].map(b => ({group: b, ...g.node("box" + b)}))};
  }

  const num = v => Math.round(v * 10) / 10;

  function curve(points) {
    const p = points.map(q => [num(q.x), num(q.y)]);
    if (p.length < 3) return "M" + p.map(q => q.join(",")).join("L");
    let d = "M" + p[0].join(",");
    for (let k = 1; k < p.length - 1; k++) {
      const end = k === p.length - 2 ? p[k + 1] : [num((p[k][0] + p[k + 1][0]) / 2), num((p[k][1] + p[k + 1][1]) / 2)];
      d += "Q" + p[k].join(",") + " " + end.join(",");
    }
    return d;
  }

  function drawLine(data, line) {
    const [value, grad] = line.text;
    const x = num(line.x), y = num(line.y);
    return `<g class="line${line.back ? " back" : ""}" data-id="${escape(line.id)}">` +
      `<path class="wire" d="${curve(line.points)}" marker-end="url(#arrow)"/>` +
      `<text class="value" x="${x}" y="${y - 4}">${escape(value)}</text>` +
      `<text class="grad" x="${x}" y="${y + 13}">${escape(grad)}</text></g>`;
  }

  function spoken(data, id, words) {
    if (isGroup(id)) {
      const group = data.groups[index(id)];
      return `${group.name}, ${words.closed}`;
    }
    const node = data.nodes[index(id)];
    return [node.name || node.symbol, node.formula ? "= " + node.formula : words[node.kind] || "", node.type,
            node.value ? `${words.value} ${node.value.text}` : "", node.grad ? `${words.gradient} ${node.grad.text}` : ""]
      .filter(Boolean).join(", ");
  }

  function drawItem(data, item, words) {
    const {x, y, width: w, height: h} = item, group = isGroup(item.id);
    const node = group ? null : data.nodes[index(item.id)];
    const kind = group ? "group" : node.kind;
    const backward = group ? /backward/.test(data.groups[index(item.id)].name) : /backward pass/.test(node.source || "");
    const text = cut(label(data, item.id));
    const box = kind === "input" || kind === "constant"
      ? `<rect x="${num(x - w / 2)}" y="${num(y - h / 2)}" width="${num(w)}" height="${h}" rx="4"/>`
      : `<rect x="${num(x - w / 2)}" y="${num(y - h / 2)}" width="${num(w)}" height="${h}" rx="${group ? 6 : h / 2}"/>`;
    const under = node && node.name && node.name !== text ? cut(node.name, 14) : group ? `(${item.nodes.length})` : "";
    return `<g class="item ${kind}${backward ? " backward" : ""}" data-id="${item.id}" tabindex="0" role="button" ` +
      `aria-label="${escape(spoken(data, item.id, words))}">` + box +
      `<text x="${num(x)}" y="${num(y + (under ? 0 : 5))}">${escape(text)}</text>` +
      (under ? `<text class="under" x="${num(x)}" y="${num(y + 13)}">${escape(under)}</text>` : "") + "</g>";
  }

  function drawBox(data, box) {
    const x = num(box.x - box.width / 2), y = num(box.y - box.height / 2), group = data.groups[box.group];
    const times = group.kind === "loop" ? ` × ${group.n}` : "";
    return `<g class="box ${group.kind}" data-group="${box.group}"><rect x="${x}" y="${y}" width="${num(box.width)}" ` +
      `height="${num(box.height)}" rx="8"/><text x="${x + 8}" y="${y + 14}">${escape(group.name + times)}</text></g>`;
  }

  // The SVG of a state, and what it shows.
  function draw(data, help, state, words) {
    const visible = project(data, help, state);
    const size = layout(data, help, state, visible);
    const result = outputLabels(data, visible, size);
    const svg = `<defs><marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" ` +
      `orient="auto-start-reverse"><path d="M0,0L8,4L0,8z" class="head"/></marker></defs>` +
      size.boxes.sort((a, b) => help.above(a.group).length - help.above(b.group).length)
        .map(box => drawBox(data, box)).join("") +
      visible.lines.map(line => drawLine(data, line)).join("") +
      visible.items.map(item => drawItem(data, item, words)).join("") + result;
    return {svg, visible, width: size.width + (size.dir === "LR" ? 90 : 0), height: size.height + (size.dir === "LR" ? 0 : 40)};
  }

  // Beside each result its value and its gradient, as if an edge led out of it.
  function outputLabels(data, visible, size) {
    return data.outputs.map(i => {
      const item = visible.items.find(it => it.id === visible.rep[i].id), node = data.nodes[i];
      if (!item || !node.value) return "";
      const right = size.dir === "LR";
      const x = num(right ? item.x + item.width / 2 + 8 : item.x), y = num(right ? item.y : item.y + item.height / 2 + 14);
      const anchor = right ? ' style="text-anchor:start"' : "";
      return `<g class="line result" data-id="result${i}"><text class="value" x="${x}" y="${y - 4}"${anchor}>` +
        `${escape(cut(node.value.text))}</text><text class="grad" x="${x}" y="${y + 13}"${anchor}>` +
        `${escape(node.grad ? cut(node.grad.text) : "")}</text></g>`;
    }).join("");
  }

  const STYLE = `text{font:13px "DejaVu Sans",system-ui,sans-serif;text-anchor:middle;fill:#1c2430}
.item rect{fill:#fff;stroke:#3b4a5e;stroke-width:1.4}.input rect{fill:#e7f0fb}.constant rect{fill:#f1f1ee}
.output rect{fill:#fdf1d7}.group rect{fill:#eceff4;stroke-width:2}.backward rect{stroke:#b3402a}
.under{font-size:11px;fill:#5a6675}.wire{fill:none;stroke:#7b8898;stroke-width:1.3}.head{fill:#7b8898}
.back .wire{stroke-dasharray:5 4}.value,.grad{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}.value{font-size:12px;fill:#1a6b3c}.grad{font-size:12px;fill:#b3402a}
.box rect{fill:#8a97a8;fill-opacity:.08;stroke:#8a97a8;stroke-dasharray:3 3}.box text{text-anchor:start;font-size:11px;fill:#5a6675}`;

  // A whole SVG file.
  function file(data, options) {
    const help = prepare(data), state = begin(data);
    if (options.unfold) { data.groups.forEach((_, g) => { state.open.add(g); state.unrolled.add(g); }); }
    const drawn = draw(data, help, state, options.words);
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${num(drawn.width)} ${num(drawn.height)}" ` +
      `width="${num(drawn.width)}" height="${num(drawn.height)}" role="img" aria-label="${escape(data.title)}">` +
      `<title>${escape(data.title)}</title><style>${STYLE}</style>` +
      `<rect width="100%" height="100%" fill="#fff"/>${drawn.svg}</svg>`;
  }

  return {prepare, begin, folds, project, draw, file, spoken, label, escape, isGroup, index, STYLE};
})();
