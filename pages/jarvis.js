const $ = (s, e = document) => e.querySelector(s), $$ = (s, e = document) => [...e.querySelectorAll(s)];
const hms = d => d.toTimeString().slice(0, 8), two = (a, p, b, q) => (a | 0) + p + String(b | 0).padStart(2, 0) + q;
const span = s => s < 60 ? s + "s" : s < 3600 ? two(s / 60, "m", s % 60, "s") : two(s / 3600, "h", s / 60 % 60, "m");

function times(root) {
	for (const t of $$("time:not([title])", root)) {
		const d = new Date(t.dateTime);
		t.title = d;
		if (!("since" in t.dataset)) t.textContent = (Math.abs(Date.now() - d) > 7e7 ? d.toLocaleDateString() + " " : "") + hms(d).slice(0, "sec" in t.dataset ? 8 : 5);
	}
}
function tick() {
	if (es && Date.now() - heard > 4e4) lost(), watch();
	for (const t of $$("[data-since]")) t.textContent = span(Math.max(0, (Date.now() - new Date(t.dateTime)) / 1e3 | 0));
}

// What is open, ticked stays; typed in waits.
const types = e => e.matches("textarea,select,input:not([type=checkbox])");
const late = {}, name = e => e.id || e.getAttribute("href") || e.value;
const same = (root, e) => $$("a,button,input,summary,details", root).find(x => name(x) == name(e));
function part(html) {
	const t = document.createElement("template");
	t.innerHTML = html;
	for (const next of [...t.content.children]) {
		const was = $("#" + next.id), f = document.activeElement, had = was?.contains(f);
		if (!was) continue;
		delete late[next.id];
		if (had && types(f)) { late[next.id] = next.outerHTML; continue }
		for (const e of $$("[open],:checked,[autocomplete]", was)) { const n = same(next, e); if (n) n.open = n.checked = 1, n.value = e.value }
		was.replaceWith(next);
		if (had) same(next, f)?.focus({ preventScroll: 1 });
		times(next);
	}
	tick(), count();
}

onfocusout = () => setTimeout(() => part(Object.values(late).join("")), 1e3);

const log = $(".log"), more = $("#fresh");
let fresh = 0;
const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
function news(n) { more.hidden = !(fresh = n); more.textContent = `↓ ${n} new lines` }
function toEnd() { log.scrollTop = log.scrollHeight; news(0) }
function lines(html) {
	const end = atEnd(), ol = $("ol", log), n = ol.children.length;
	ol.insertAdjacentHTML("beforeend", html);
	times(ol);
	news(fresh + ol.children.length - n);
	if (end) { while (ol.children.length > 2000) ol.firstElementChild.remove(); toEnd() }
}
if (more) {
	if ("end" in log.dataset && !$(":target", log)) toEnd();
	log.onscroll = () => fresh && atEnd() && news(0);
	more.onclick = () => { toEnd(); log.focus(); };
}

const { events: url, last: had } = document.body.dataset, on = { part, log: lines, say: s => $("#say").textContent = s, title: s => document.title = s, at() {} };
let es, last = had, heard;
function lost() { const l = $("#live:not(.lost)"); if (l) l.className = "lost", l.textContent = "no news since " + hms(new Date(heard)) }
function watch() {
	es?.close();
	if (!url || document.hidden) return;
	heard = Date.now();
	es = new EventSource(url + "&last=" + last);
	es.onerror = () => { lost(); if (es.readyState > 1) setTimeout(watch, 5e3); };
	for (const k in on) es.addEventListener(k, e => { heard = Date.now(); last = e.lastEventId || last; on[k](e.data); });
}
document.onvisibilitychange = watch;

let wait, from, g;
oninput = e => {
	const f = e.target.form;
	if (!f?.matches("[data-live]")) return;
	clearTimeout(wait);
	const w = wait = setTimeout(async () => {
		const q = "?" + new URLSearchParams(new FormData(f)), r = await fetch(q + "&part=1");
		if (r.ok && w == wait) part(await r.text()), history.replaceState(0, "", q);
	}, 150);
};
function count() { const o = $("#chosen"); if (o) o.textContent = ($$("[name=pair]:checked").length || "none") + " chosen" }
onclick = e => {
	const b = e.target, all = $$("[name=pair]");
	if (b.id == "all") for (const x of all) x.checked = b.checked;
	if (all.includes(b)) {
		const i = all.indexOf(from), j = all.indexOf(b);
		if (e.shiftKey && ~i) for (const x of all.slice(Math.min(i, j), Math.max(i, j))) x.checked = b.checked;
		from = b;
	}
	count();
};

const sw = $("#keys-on");
if (sw) { sw.checked = !localStorage.nokeys; sw.onchange = () => localStorage.nokeys = sw.checked ? "" : 1 }
onkeydown = e => {
	const t = e.target, k = e.key;
	if (k == "Escape") { const d = t.closest("[open]"); if (d) d.open = 0, $("summary", d).focus(); else t.blur() }
	if (e.ctrlKey || e.metaKey || e.altKey || types(t) || localStorage.nokeys) return;
	const rows = $$(".to,.grp summary").filter(a => a.checkVisibility()), i = rows.indexOf(t);
	const to = { "/": $("[type=search]"), j: rows[i + 1], k: rows[i - 1], "?": $("#keys summary") }[k];
	if (g) $(`nav [data-key="${k}"]`)?.click();
	else if (to) { if (k == "?") $("#keys").open = 1; to.focus(); e.preventDefault() }
	else if (k == "x") $("[type=checkbox]", t.closest("li") || t)?.click();
	else if (k == "f" && more) toEnd();
	g = k == "g";
};
history.replaceState(0, "", location); // no verb again
times(document); tick(); setInterval(tick, 1e3); count(); watch();
