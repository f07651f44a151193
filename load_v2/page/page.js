"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const make = (name, attributes = {}, text = "") => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.textContent = text;
    return element;
  };
  const grouped = (number) => number.toLocaleString("en");

  // The scopes of the training graph: counted below each scope, and put on the page when their scope is opened.
  const scopes = () => {
    const root = { name: "", all: 0, kept: 0, children: new Map(), own: [0, 0] };
    for (const [path, [all, kept]] of Object.entries(data.scopes)) {
      let at = root;
      at.all += all; at.kept += kept;
      for (const part of path ? path.split("/") : []) {
        if (!at.children.has(part)) at.children.set(part, { name: part, all: 0, kept: 0, children: new Map(), own: [0, 0] });
        at = at.children.get(part);
        at.all += all; at.kept += kept;
      }
      at.own = [all, kept];
    }
    return root;
  };
  const row = (scope) => {
    const opens = scope.children.size > 0;
    const outer = make(opens ? "details" : "div", opens ? {} : { class: "leaf" });
    const line = opens ? make("summary") : outer;
    line.dataset.name = scope.name;
    if (!scope.kept) line.classList.add("none");
    const bar = make("div", { class: "split" });
    bar.append(make("i", { style: `width:${(100 * scope.kept / Math.max(scope.all, 1)).toFixed(1)}%` }));
    const count = scope.kept ? `${grouped(scope.kept)} of ${grouped(scope.all)} kept` : `all ${grouped(scope.all)} dropped`;
    line.append(bar, make("span", { class: "count" }, count));
    line.setAttribute("aria-label", `${scope.name}: ${count}`);
    if (opens) {
      outer.append(line);
      outer.addEventListener("toggle", () => { if (outer.open) fill(outer, scope); });
      outer.fill = () => fill(outer, scope);
    }
    return outer;
  };
  const fill = (element, scope) => {
    if (element.filled) return;
    element.filled = true;
    const children = [...scope.children.values()].sort((a, b) => b.all - a.all);
    if (scope.own[0] && children.length) {
      children.push({ name: "(directly here)", all: scope.own[0], kept: scope.own[1], children: new Map(), own: scope.own });
    }
    element.append(...children.map(row));
  };
  const tree = document.getElementById("tree");
  if (tree) {
    tree.replaceChildren();
    fill(tree, scopes());
    for (const button of document.querySelectorAll("[data-tree]")) button.addEventListener("click", () => {
      if (button.dataset.tree === "close") {
        for (const details of tree.querySelectorAll("details[open]")) details.open = false;
        return;
      }
      // Those that are in view, and no more at once than a browser shows without a pause.
      const closed = [...tree.querySelectorAll("details:not([open])")].filter((one) => !one.parentElement.closest("details:not([open])"));
      for (const details of closed.slice(0, 400)) { details.fill(); details.open = true; }
    });
  }

  // The picture. Each scope is laid out by itself, its children in layers from top to bottom, so that opening one
  // changes nothing but its size.
  const [NAME, OP, NODES, ROLE, CHILDREN, EDGES, FUNCTIONS] = [0, 1, 2, 3, 4, 5, 6];
  const SVG = "http://www.w3.org/2000/svg";
  const [HEIGHT, GAP, BETWEEN, PAD, HEAD, MOST, LANE, LANES] = [36, 26, 16, 14, 30, 150, 9, 5];
  const draw = (name, attributes, parent, text = "") => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.textContent = text;
    parent.append(element);
    return element;
  };
  const inside = (scope) => (scope[CHILDREN] && scope[CHILDREN].length ? scope[CHILDREN] : scope[FUNCTIONS] || []);
  const opened = new Set();
  const shortened = (text, most = 28) => (text.length > most ? `${text.slice(0, most - 9)}…${text.slice(-8)}` : text);
  const below = (scope) => scope[OP] && !(scope[FUNCTIONS] || []).length
    ? (scope[OP] === scope[NAME].replace(/_\d+$/, "") ? "" : scope[OP])
    : `${scope[OP] ? `${scope[OP]}, ` : ""}${grouped(scope[NODES] || 0)} nodes`;

  const layers = (count, edges) => {
    // What leads back, as a loop does, counts for nothing: layers follow the other edges.
    const next = Array.from({ length: count }, () => []);
    for (const [from, to] of edges) if (from !== to) next[from].push(to);
    const state = new Array(count).fill(0), depth = new Array(count).fill(0), order = [];
    for (let first = 0; first < count; first += 1) {
      if (state[first]) continue;
      const stack = [[first, 0]];
      state[first] = 1;
      while (stack.length) {
        const top = stack[stack.length - 1], [at, position] = top;
        if (position < next[at].length) {
          top[1] += 1;
          const child = next[at][position];
          if (state[child] === 1) next[at][position] = -1;
          else if (!state[child]) { state[child] = 1; stack.push([child, 0]); }
        } else { state[at] = 2; order.push(at); stack.pop(); }
      }
    }
    for (const at of order.reverse()) for (const child of next[at]) if (child >= 0) depth[child] = Math.max(depth[child], depth[at] + 1);
    return depth;
  };
  const layout = (scope) => {
    const width = Math.max(90, 8 * Math.max(shortened(scope[NAME]).length, below(scope).length * .8) + 24);
    if (!opened.has(scope)) return { scope, w: width, h: HEIGHT };
    const children = inside(scope).slice(0, MOST).map(layout);
    const edges = (scope[CHILDREN] && scope[CHILDREN].length ? scope[EDGES] || [] : []).filter(([a, b]) => a < MOST && b < MOST);
    const depth = layers(children.length, edges), rows = [];
    depth.forEach((level, at) => { (rows[level] = rows[level] || []).push(at); });
    const centre = new Array(children.length).fill(0);
    let y = HEAD;
    const placed = [];
    for (const members of rows.filter(Boolean)) {
      // Each as near as can be below what it comes from.
      const wish = new Map(members.map((at) => {
        const from = edges.filter(([, to]) => to === at).map(([source]) => centre[source]);
        return [at, from.length ? from.reduce((a, b) => a + b, 0) / from.length : 0];
      }));
      members.sort((a, b) => wish.get(a) - wish.get(b) || a - b);
      // A layer that is too wide for any screen goes on in a further row.
      const lines = [];
      for (const at of members) {
        const last = lines[lines.length - 1];
        if (last && last.w + children[at].w < 1100) { last.w += children[at].w + BETWEEN; last.members.push(at); }
        else lines.push({ w: children[at].w, members: [at] });
      }
      for (const line of lines) {
        let x = -line.w / 2, tallest = 0;
        for (const at of line.members) {
          Object.assign(children[at], { x, y });
          centre[at] = x + children[at].w / 2;
          x += children[at].w + BETWEEN;
          tallest = Math.max(tallest, children[at].h);
          placed.push(children[at]);
        }
        y += tallest + GAP;
      }
    }
    const left = Math.min(0, ...placed.map((child) => child.x)), right = Math.max(0, ...placed.map((child) => child.x + child.w));
    // What skips a layer, as a shortcut does, goes down beside the others, each in a lane of its own.
    const skips = edges.filter(([from, to]) => children[to].y - children[from].y - children[from].h > GAP + 1);
    const beside = skips.length ? LANE * Math.min(skips.length, LANES) + 6 : 0;
    const w = Math.max(width, right - left + 2 * (PAD + beside)), shift = (w - (right - left)) / 2 - left;
    for (const child of placed) child.x += shift;
    const lanes = new Map(skips.map((edge, at) => [edge, w / 2 + (right - left) / 2 + 6 + LANE * (at % LANES)]));
    const hidden = inside(scope).length - children.length;
    return { scope, w, h: y - GAP + PAD + (hidden ? 16 : 0), children, edges, hidden, lanes };
  };
  const paint = (box, parent, isRoot) => {
    const { scope } = box, opens = inside(scope).length > 0, isOpen = opened.has(scope);
    const kind = scope[ROLE] ? "end" : opens ? (isOpen ? "scope open" : "scope") : "op";
    const group = draw("g", { class: kind, transform: `translate(${box.x || 0} ${box.y || 0})` }, parent);
    if (!isRoot) {
      draw("rect", { width: box.w, height: box.h, rx: 6 }, group);
      const label = draw("text", { x: isOpen ? 10 : box.w / 2, y: isOpen ? 19 : below(scope) || scope[ROLE] ? 16 : 22, "text-anchor": isOpen ? "start" : "middle" },
        group, (opens ? (isOpen ? "▾ " : "▸ ") : "") + shortened(scope[NAME]));
      if (!isOpen) draw("text", { x: box.w / 2, y: 29, class: "sub", "text-anchor": "middle" }, group, scope[ROLE] || below(scope));
      draw("title", {}, group, `${scope[NAME]}${scope[OP] ? `: ${scope[OP]}` : ""}${scope[ROLE] ? `, ${scope[ROLE]}` : ""}`);
      if (opens) {
        const toggle = () => { if (opened.has(scope)) opened.delete(scope); else opened.add(scope); show(scope); };
        const hit = draw("rect", { class: "hit", width: box.w, height: isOpen ? HEAD - 4 : box.h, tabindex: 0, role: "button",
          "aria-expanded": isOpen, "aria-label": `${scope[NAME]}, ${scope[NODES] || 0} nodes` }, group);
        hit.addEventListener("click", toggle);
        hit.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); } });
        hit.scope = scope;
      }
      label.setAttribute("aria-hidden", "true");
    }
    if (!box.children) return;
    for (const edge of box.edges) {
      const [from, to, count] = edge;
      const a = box.children[from], b = box.children[to];
      const x1 = a.x + a.w / 2, y1 = a.y + a.h, x2 = b.x + b.w / 2, y2 = b.y - 2, bend = Math.max(12, Math.abs(y2 - y1) / 2);
      const lane = box.lanes.get(edge), turn = GAP - 6;
      const way = lane === undefined ? `C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`
        : `C${x1} ${y1 + turn} ${lane} ${y1} ${lane} ${y1 + turn}L${lane} ${y2 - turn}C${lane} ${y2} ${x2} ${y2 - turn} ${x2} ${y2}`;
      draw("path", { d: `M${x1} ${y1}${way}`, "stroke-width": Math.min(1 + Math.log2(count || 1) / 2, 4),
        "marker-end": "url(#arrow)" }, group);
    }
    for (const child of box.children) paint(child, group, false);
    if (box.hidden) draw("text", { x: box.w / 2, y: box.h - 8, class: "sub", "text-anchor": "middle" }, group, `and ${grouped(box.hidden)} more`);
  };
  const picture = document.getElementById("picture"), which = document.getElementById("which");
  let root = null;
  const show = (focus) => {
    const box = layout(root), svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${Math.ceil(box.w)} ${Math.ceil(box.h)}`);
    svg.setAttribute("width", Math.ceil(box.w)); svg.setAttribute("height", Math.ceil(box.h));
    const marker = draw("marker", { id: "arrow", viewBox: "0 0 6 6", refX: 5, refY: 3, markerWidth: 6, markerHeight: 6, orient: "auto", markerUnits: "userSpaceOnUse" }, draw("defs", {}, svg));
    draw("path", { d: "M0 0L6 3L0 6z" }, marker);
    paint(box, svg, true);
    picture.replaceChildren(svg);
    if (!focus) { picture.scrollLeft = (picture.scrollWidth - picture.clientWidth) / 2; return; }
    const again = [...svg.querySelectorAll(".hit")].find((hit) => hit.scope === focus);
    if (again) { again.focus({ preventScroll: true }); again.scrollIntoView({ block: "nearest", inline: "nearest" }); }
  };
  if (picture) {
    const start = () => {
      root = data.graphs[which.value];
      opened.clear();
      opened.add(root);
      // A graph that is one scope all through is opened down to where there is something to see.
      for (let at = root; inside(at).filter((child) => inside(child).length).length === 1 && inside(at).length < 8;) {
        at = inside(at).find((child) => inside(child).length);
        opened.add(at);
      }
      show(null);
    };
    which.addEventListener("change", start);
    for (const button of document.querySelectorAll("[data-picture]")) button.addEventListener("click", () => {
      if (button.dataset.picture === "close") { start(); return; }
      const edge = [];
      const walk = (scope) => { for (const child of inside(scope)) if (opened.has(child)) walk(child); else if (inside(child).length) edge.push(child); };
      walk(root);
      for (const scope of edge.slice(0, 60)) opened.add(scope);
      show(null);
    });
    start();
  }

  const filter = document.getElementById("filter");
  if (filter) filter.addEventListener("input", () => {
    const text = filter.value.toLowerCase();
    for (const details of document.querySelectorAll("#rows details")) details.open = text !== "";
    for (const line of document.querySelectorAll("#rows tbody tr")) {
      line.hidden = !line.cells[0].textContent.toLowerCase().includes(text);
    }
  });
  document.documentElement.dataset.ready = "yes";
})();
