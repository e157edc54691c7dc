// Histograms by domain with a cut line each, to drag with mouse, touch or keyboard. Redraws by itself while a line is
// held and sends one event at its release. Names of domains are dataset text: they go through textContent only.

const SVG = "http://www.w3.org/2000/svg";
const BEYOND = Number.MAX_VALUE; // a cut outside the axis: all rows on one side of it
const LONGEST_NAME = 118, GUTTER = 12, TOP = 18, FOOT = 36, ANSWER_WITHIN = 20000;
const charts = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".cuts");
  let chart = charts.get(root);
  if (!chart) charts.set(root, (chart = makeChart(root)));
  chart.show(data, (event) => setTriggerValue("cut", event));
  return chart.close;
}

function make(kind, parent, classes = "", attributes = {}) {
  const node = document.createElementNS(SVG, kind);
  if (classes) node.setAttribute("class", classes);
  set(node, attributes);
  parent.append(node);
  return node;
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

function makeChart(root) {
  const svg = make("svg", root);
  const tip = Object.assign(document.createElement("div"), { className: "tip" });
  root.append(tip);
  let data = null, send = null, rows = [], axis = null, built = "", turn = 0, names = 0;

  // --- positions and scores ---
  const low = () => data.edges[0];
  const high = () => data.edges[data.edges.length - 1];
  const left = () => names + GUTTER;
  const right = () => Math.max(left() + 50, root.clientWidth - GUTTER - 4);
  const pixel = () => (high() - low()) / (right() - left());
  const digits = () => Math.min(12, Math.max(0, Math.ceil(-Math.log10(pixel()))));
  const text = (score) => score.toFixed(digits());
  function place(score) {
    if (score < low()) return left() - GUTTER / 2;
    if (score > high()) return right() + GUTTER / 2;
    return left() + (score - low()) / pixel();
  }
  function scoreAt(x) {
    if (x < left() - 3) return -BEYOND;
    if (x > right() + 3) return BEYOND;
    const score = Number(text(low() + (x - left()) * pixel()));
    return Math.min(high(), Math.max(low(), score));
  }
  function nextStep() {
    const rough = (high() - low()) / 200, power = 10 ** Math.floor(Math.log10(rough));
    return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  }

  // --- rows beyond a score, estimated within the bin that it divides ---
  const lowest = () => data.order === "lowest";
  const all = (domain) => domain.rows.reduce((sum, count) => sum + count, domain.below + domain.above);
  function rowsBeyond(domain, score) {
    let found = score < low() && score > -BEYOND ? domain.below / 2 : score < low() ? domain.below : 0;
    if (score <= high()) found += domain.above;
    else if (score < BEYOND) found += domain.above / 2;
    domain.rows.forEach((count, bin) => {
      const [from, to] = [data.edges[bin], data.edges[bin + 1]];
      found += count * Math.min(1, Math.max(0, (to - score) / (to - from)));
    });
    return Math.round(lowest() ? all(domain) - found : found);
  }
  function caption(row, withCount) {
    const score = row.at, of = all(row.domain);
    const kept = lowest() ? score : -score;
    const what = kept >= BEYOND ? "all" : kept <= -BEYOND ? "none" : text(score);
    if (!withCount || Math.abs(score) >= BEYOND) return what;
    return `${what}: about ${rowsBeyond(row.domain, score).toLocaleString("en")} of ${of.toLocaleString("en")} rows`;
  }

  // --- drawing ---
  function build() {
    svg.replaceChildren();
    tip.style.display = "none";
    rows = data.domains.map((domain) => buildRow(domain));
    axis = make("g", svg);
  }
  function buildRow(domain) {
    const group = make("g", svg), row = { domain, at: 0, sent: 0, held: false, changed: false };
    row.name = make("text", group, "title", { x: 0 });
    row.name.textContent = domain.name.length > 16 ? `${domain.name.slice(0, 15)}…` : domain.name;
    make("title", row.name).textContent = domain.name;
    row.base = make("line", group, "axis");
    row.faint = make("path", group, "faint");
    row.solid = make("path", group, "solid");
    row.over = make("rect", group, "reach");
    row.over.addEventListener("pointermove", (event) => showTip(row, event));
    row.over.addEventListener("pointerleave", () => { tip.style.display = "none"; });
    row.cut = make("g", group, "cut");
    row.ring = make("rect", row.cut, "ring", { rx: 4, width: 24, x: -12 });
    row.line = make("line", row.cut, "line");
    row.grip = make("rect", row.cut, "grip", { rx: 4, width: 10, height: 20, x: -5 });
    row.reach = make("rect", row.cut, "reach", { width: 28, x: -14 });
    row.mark = make("text", row.cut, "mark");
    if (!data.fixed) makeDraggable(row);
    return row;
  }
  const rowHeight = () => (rows.length <= 2 ? 112 : rows.length <= 4 ? 84 : rows.length <= 8 ? 56 : 44);
  function draw() {
    if (!data || !root.clientWidth) return;
    const widths = rows.map((row) => row.name.getComputedTextLength());
    names = Math.min(LONGEST_NAME, Math.ceil(Math.max(0, ...widths)) + 6);
    const each = rowHeight(), height = rows.length * each + FOOT;
    set(svg, { height, viewBox: `0 0 ${root.clientWidth} ${height}` });
    rows.forEach((row, number) => drawRow(row, number * each, each));
    drawAxis(rows.length * each);
  }
  function drawRow(row, top, each) {
    const { domain } = row, ground = top + each - 1, tall = each - TOP - 4;
    row.top = top;
    const stroke = `color-mix(in srgb, ${domain.colour} 50%, var(--st-text-color))`;
    set(row.name, { y: top + each / 2 + 10 });
    set(row.base, { x1: left() - GUTTER, x2: right() + GUTTER, y1: ground, y2: ground });
    set(row.over, { x: left() - GUTTER, width: right() - left() + 2 * GUTTER, y: top, height: each });
    row.bars = bars(domain, ground, tall);
    set(row.faint, { fill: domain.colour, d: outline(row, -Infinity, Infinity, ground) });
    row.faint.style.stroke = row.solid.style.stroke = stroke;
    set(row.solid, { fill: domain.colour });
    set(row.ring, { y: top + 2, height: each - 2 });
    set(row.line, { y1: top + 4, y2: ground });
    set(row.reach, { y: top, height: each });
    set(row.grip, { y: top + each / 2 - 4 });
    move(row);
  }
  function bars(domain, ground, tall) {
    const most = Math.max(1, ...domain.rows), tallness = (count) => ground - Math.min(1, count / most) * tall;
    const inside = domain.rows.map((count, bin) => ({
      from: place(data.edges[bin]), to: place(data.edges[bin + 1]), y: tallness(count), count,
    }));
    const wide = GUTTER - 4;
    return [
      { from: left() - 4 - wide, to: left() - 4, y: tallness(domain.below), count: domain.below, side: "below" },
      ...inside,
      { from: right() + 4, to: right() + 4 + wide, y: tallness(domain.above), count: domain.above, side: "above" },
    ];
  }
  function outline(row, from, to, ground) {
    return row.bars.filter((bar) => bar.count && bar.to > from && bar.from < to).map((bar) => {
      const [x0, x1] = [Math.max(from, bar.from), Math.min(to, bar.to)];
      return `M${x0.toFixed(1)} ${ground}V${bar.y.toFixed(1)}H${x1.toFixed(1)}V${ground}`;
    }).join("");
  }
  function move(row) {
    const x = place(row.at), ground = row.top + rowHeight() - 1;
    const everything = row.at === (lowest() ? BEYOND : -BEYOND), nothing = row.at === (lowest() ? -BEYOND : BEYOND);
    const [from, to] = everything ? [-Infinity, Infinity] : lowest() ? [-Infinity, x] : [x, Infinity];
    row.solid.setAttribute("d", nothing ? "" : outline(row, from, to, ground));
    row.cut.setAttribute("transform", `translate(${x.toFixed(1)} 0)`);
    const busy = row.held || row.changed;
    row.cut.setAttribute("class", `cut${data.fixed ? "" : " free"}${busy ? " held" : ""}`);
    row.mark.textContent = caption(row, busy);
    const before = x > (left() + right()) / 2;
    set(row.mark, { x: before ? -16 : 16, y: row.top + 14, "text-anchor": before ? "end" : "start" });
    if (data.fixed) return;
    const now = Math.min(high(), Math.max(low(), row.at));
    set(row.cut, { "aria-valuenow": now, "aria-valuemin": low(), "aria-valuemax": high() });
    set(row.cut, { "aria-valuetext": caption(row, true) });
  }
  function drawAxis(y) {
    axis.replaceChildren();
    const about = Math.max(2, Math.floor((right() - left()) / 60));
    const rough = (high() - low()) / about, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    for (let tick = Math.ceil(low() / step - 1e-9); tick * step <= high() + 1e-9 * step; tick += 1) {
      const x = place(Math.min(high(), Math.max(low(), tick * step)));
      make("line", axis, "axis", { x1: x, x2: x, y1: y, y2: y + 4 });
      const label = make("text", axis, "", { x, y: y + 16, "text-anchor": "middle" });
      label.textContent = (tick * step || 0).toFixed(places);
    }
    const title = make("text", axis, "", { x: (left() + right()) / 2, y: y + 32, "text-anchor": "middle" });
    title.textContent = data.label;
  }
  function showTip(row, event) {
    const box = root.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const bin = row.bars.findIndex((bar) => x >= bar.from && x < bar.to), bar = row.bars[bin];
    tip.style.display = bar ? "block" : "none";
    if (!bar) return;
    const range = bar.side ? `${bar.side} ${text(bar.side === "below" ? low() : high())}`
      : `${text(data.edges[bin - 1])} to ${text(data.edges[bin])}`;
    tip.textContent = `${row.domain.name}, ${range}: ${bar.count.toLocaleString("en")} rows`;
    tip.style.top = `${y + 14}px`;
    tip.style.left = `${Math.min(x + 12, Math.max(0, root.clientWidth - tip.offsetWidth))}px`;
  }

  // --- moving ---
  const together = (row) => (data.linked ? rows : [row]);
  function moveTo(row, score) {
    for (const each of together(row)) {
      each.at = score;
      move(each);
    }
  }
  function release(row) {
    row.held = row.changed = false;
    turn += 1;
    const mine = turn;
    for (const each of together(row)) each.sent = turn;
    moveTo(row, row.at);
    send({ domain: row.domain.name, score: row.at, turn });
    setTimeout(() => { if (row.sent === mine && data.turn < mine) settle(mine); }, ANSWER_WITHIN);
  }
  function settle(answered) {
    for (const row of rows) {
      // A line that is held, or whose own answer is still to come, stays where its owner put it.
      const taken = together(row).some((each) => each.held || each.changed);
      if (!taken && row.sent <= answered) {
        row.at = row.domain.cut ?? (lowest() ? -BEYOND : BEYOND);
        if (row.bars) move(row);
      }
    }
  }
  function makeDraggable(row) {
    set(row.cut, { tabindex: 0, role: "slider", "aria-orientation": "horizontal" });
    row.cut.setAttribute("aria-label", data.linked ? "Cut-off of all domains" : `Cut-off of ${row.domain.name}`);
    let offset = 0, before = 0;
    // Browsers do not apply touch-action to parts of an SVG: without this, a drag scrolls the page.
    row.cut.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    row.cut.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      row.cut.setPointerCapture(event.pointerId);
      offset = event.clientX - place(row.at);
      before = row.at;
      row.held = true;
      tip.style.display = "none";
      move(row);
    });
    row.cut.addEventListener("pointermove", (event) => {
      if (row.held) moveTo(row, scoreAt(event.clientX - offset));
    });
    row.cut.addEventListener("pointerup", () => {
      if (!row.held) return;
      if (row.at !== before) return release(row);
      row.held = false;
      settle(data.turn);
      move(row);
    });
    const undo = () => {
      if (!row.held && !row.changed) return;
      row.held = row.changed = false;
      moveTo(row, before);
      settle(data.turn);
    };
    row.cut.addEventListener("pointercancel", undo);
    row.cut.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return undo();
      const target = keyTarget(row, event);
      if (target === null) return;
      event.preventDefault();
      event.stopPropagation();
      if (!row.changed) before = row.at;
      row.changed = true;
      moveTo(row, target);
    });
    for (const end of ["keyup", "blur"]) row.cut.addEventListener(end, () => { if (row.changed) release(row); });
  }
  function keyTarget(row, event) {
    const large = event.shiftKey ? 10 : 1, step = nextStep();
    const moves = {
      ArrowRight: large, ArrowUp: large, ArrowLeft: -large, ArrowDown: -large, PageUp: 10, PageDown: -10,
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return null;
    if (event.key === "Home") return -BEYOND;
    if (event.key === "End") return BEYOND;
    if (!(event.key in moves)) return null;
    const by = moves[event.key];
    if (row.at < low()) return by < 0 ? -BEYOND : low();
    if (row.at > high()) return by > 0 ? BEYOND : high();
    const target = Number((row.at + by * step).toFixed(12));
    if (target < low()) return row.at === low() ? -BEYOND : low();
    if (target > high()) return row.at === high() ? BEYOND : high();
    return target;
  }

  // --- what the server says ---
  const resized = new ResizeObserver(draw);
  resized.observe(root);
  function show(given, sender) {
    data = given;
    send = sender;
    turn = Math.max(turn, data.turn);
    const shape = JSON.stringify([data.fixed, data.linked, data.domains.map((domain) => domain.name)]);
    if (shape !== built) {
      build();
      built = shape;
    }
    rows.forEach((row, number) => { row.domain = data.domains[number]; });
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", data.title);
    settle(data.turn);
    draw();
  }
  return { show, close: () => resized.disconnect() };
}
