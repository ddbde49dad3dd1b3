// Am I on pace? Money by day, role, model and key, and budgets with their forecast; balances and bills follow below.
import { html, useMemo, useState } from "../lib/ui.js";
import { get } from "../lib/api.js";
import { useLoad, useNow } from "../lib/load.js";
import { filter, query } from "../lib/router.js";
import { Bars } from "../lib/chart.js";
import { Made, mistakes, useReview } from "../lib/change.js";
import { Page, Section, Loaded, State, Empty, Meter, Choice, Text, Failure } from "../lib/parts.js";
import { count, span, tokens, usd } from "../lib/format.js";
import { Balances, Bills } from "./balances.js";

const GROUPS = [
  ["role", "role"],
  ["model", "model"],
  ["provider", "provider"],
  ["key", "key"],
  ["route", "name asked for"],
  ["day", "day"],
];
const SINCE = [
  ["today", "today"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["90d", "90 days"],
];

export function Money() {
  const { by = "model", since = "30d" } = query.value;
  const loaded = useLoad(
    () =>
      Promise.all([
        get("/usage", { by, since }),
        get("/usage", { by: since === "today" ? "hour" : "day", since }),
      ]).then(([groups, times]) => ({ groups, times })),
    [by, since],
  );
  return html`<${Page} title="Money" question="Am I on pace, and who spends it?">
    <form class="filters" onSubmit=${(event) => event.preventDefault()} aria-label="Filters">
      <${Choice} id="by" label="By" value=${by} options=${GROUPS} onInput=${(value) => filter({ by: value })} />
      <${Choice}
        id="since"
        label="Since"
        value=${since}
        options=${SINCE}
        onInput=${(value) => filter({ since: value })}
      />
    </form>
    <${Loaded} of=${loaded} what="the ledger">${(said) => html`<${Sums} ...${said} by=${by} />`}<//>
    <${Budgets} /><${Balances} /><${Bills}
  /><//>`;
}

function Sums({ groups, times, by }) {
  const { total } = groups;
  const [at, cost] = useMemo(() => {
    const [dimension] = times.by;
    const step = dimension === "hour" ? 3600 : 86400;
    const time = (text) =>
      Date.parse(text.length > 10 ? `${text.replace(" ", "T").slice(0, 13)}:00Z` : `${text}T00:00Z`) / 1000;
    const spent = new Map(times.groups.map((one) => [time(String(one[dimension])), one.cost_nanousd / 1e9]));
    const first = Math.floor(times.since / step) * step;
    const all = Array.from(
      { length: Math.floor((Date.now() / 1000 - first) / step) + 1 },
      (_, place) => first + place * step,
    );
    return [all, all.map((one) => spent.get(one) ?? 0)];
  }, [times]);
  if (!total.attempts) return html`<${Empty}>Nothing was called in this time, so nothing was spent.<//>`;
  return html`<dl class="tiles">
      <div>
        <dt>spent</dt>
        <dd>${usd(total.cost_nanousd)}</dd>
      </div>
      <div>
        <dt>saved by free and local models</dt>
        <dd>${usd(total.saved_nanousd)}</dd>
      </div>
      <div>
        <dt>calls</dt>
        <dd>${count(total.requests)}</dd>
      </div>
      <div>
        <dt>tokens</dt>
        <dd>${tokens(total.input_tokens)} in, ${tokens(total.output_tokens)} out</dd>
      </div>
      <div>
        <dt>not known</dt>
        <dd>${count(total.unpriced)} without a price, ${count(total.estimated)} estimated</dd>
      </div>
    </dl>
    ${at.length > 0 && html`<${Bars} times=${at} values=${cost} label="Cost by time; the table has it by ${by}" format=${(value) => usd(value * 1e9)} />`}
    <${Section} title="By ${by}" actions=${html`<${Download} rows=${groups.groups} by=${by} />`}
      ><div class="table" tabindex="0" role="region" aria-label="Money by ${by}">
        <table>
          <thead>
            <tr>
              <th>${by}</th>
              <th class="number">Cost</th>
              <th class="number">Saved</th>
              <th class="number">Calls</th>
              <th class="number">Errors</th>
              <th class="number">In</th>
              <th class="number">Cached</th>
              <th class="number">Out</th>
            </tr>
          </thead>
          <tbody>
            ${groups.groups.map(
              (one) =>
                html`<tr key=${one[by]}>
                  <td class="wrap">${one[by] || "–"}</td>
                  <td class="number">${usd(one.cost_nanousd)}</td>
                  <td class="number">${usd(one.saved_nanousd)}</td>
                  <td class="number">${count(one.requests)}</td>
                  <td class="number">${count(one.errors)}</td>
                  <td class="number">${tokens(one.input_tokens)}</td>
                  <td class="number">${tokens(one.cached_tokens)}</td>
                  <td class="number">${tokens(one.output_tokens)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div><//
    >`;
}

function Download({ rows, by }) {
  const save = () => {
    const columns = [
      by,
      "requests",
      "attempts",
      "errors",
      "input_tokens",
      "cached_tokens",
      "output_tokens",
      "cost_usd",
      "saved_usd",
    ];
    // A cell that begins like a formula is text: tables would compute it.
    const cell = (value) =>
      `"${String(value ?? "")
        .replace(/^[=+\-@\t\r]/, "'$&")
        .replaceAll('"', '""')}"`;
    const url = URL.createObjectURL(
      new Blob(
        [
          [columns, ...rows.map((row) => columns.map((one) => row[one]))]
            .map((line) => line.map(cell).join(","))
            .join("\r\n"),
        ],
        { type: "text/csv" },
      ),
    );
    const link = Object.assign(document.createElement("a"), { href: url, download: `gateway-${by}.csv` });
    link.click();
    URL.revokeObjectURL(url);
  };
  return html`<button type="button" onClick=${save}>Export as CSV</button>`;
}

// At this pace, where does the window end? Only once a twentieth of it is over is there a pace.
export function forecast(one, now) {
  const length = one.resets_at - one.began_at;
  const gone = (now - one.began_at) / length;
  return one.began_at && gone > 0.05 && gone < 1 ? one.spent_nanousd / gone : null;
}

function Budgets() {
  const now = useNow(10000);
  const loaded = useLoad(
    () =>
      Promise.all([get("/spending"), get("/budgets")]).then(([spending, budgets]) => ({
        spending: spending.data,
        budgets,
      })),
    [],
    { on: ["reload"] },
  );
  const [dialog, propose, made] = useReview(() => loaded.again());
  const [wrong, setWrong] = useState({});
  const change = (value, title) =>
    propose({ title, method: "PUT", path: "/budgets", body: value, version: loaded.value.budgets.version }).then(
      () => setWrong({}),
      (error) => setWrong(mistakes(error)),
    );
  return html`<${Section} title="Budgets"
    ><${Made} made=${made} /><${Loaded} of=${loaded} what="budgets"
      >${({ spending, budgets }) =>
        html` ${
            budgets.value.length === 0
              ? html`<${Empty}>No budget limits anything yet.<//>`
              : html`<ul class="strip">
                    ${spending.map((one) => {
                      const end = forecast(one, now);
                      const over = end !== null && end > one.limit_nanousd;
                      return html`<li class="card" key=${one.account}>
                        <div class="card-head"><span>${one.what}</span><span class="quiet">${one.window}</span></div>
                        <${State} is=${one.spent_nanousd >= one.limit_nanousd ? "bad" : over ? "warn" : "good"}
                          >${usd(one.spent_nanousd)} of ${usd(one.limit_nanousd)}<//
                        ><${Meter} share=${1 - one.spent_nanousd / one.limit_nanousd} label="left of ${one.what}" />
                        <p class="quiet">
                          ${end === null ? "too early for a forecast" : `at this pace ${usd(end)} by its end`}${one.resets_at < 1e11 ? `, in ${span(Math.round(one.resets_at - now))}` : ""}
                        </p>
                      </li>`;
                    })}
                  </ul>
                  <ul class="plain-list">
                    ${budgets.value.map(
                      (one, at) =>
                        html`<li key=${at}>
                          <span
                            >${one.scope}${one.name ? ` ${one.name}` : ""}:
                            $${String(one.limit_usd ?? "").replace("$", "")} for each ${one.window || "month"}</span
                          >
                          <button
                            type="button"
                            class="danger"
                            onClick=${() => change(budgets.value.toSpliced(at, 1), "Remove a budget")}
                          >
                            Remove
                          </button>
                        </li>`,
                    )}
                  </ul>`
          }
          <${NewBudget} wrong=${wrong} add=${(one) => change([...budgets.value, one], "Add a budget")} />`}<//
    >${dialog}<//
  >`;
}

function NewBudget({ add, wrong }) {
  const [scope, setScope] = useState("total");
  const [name, setName] = useState("");
  const [limit, setLimit] = useState("");
  const [window, setWindow] = useState("day");
  const known = new Set(["scope", "name", "limit_usd", "window"]);
  const submit = (event) => {
    event.preventDefault();
    add({ scope, ...(name ? { name } : {}), limit_usd: limit, window });
  };
  return html`<form class="filters" onSubmit=${submit} aria-label="New budget">
      <${Choice}
        id="budget-scope"
        label="For"
        value=${scope}
        options=${["total", "role", "provider", "model", "key", "label"]}
        error=${wrong.scope}
        onInput=${setScope}
      />
      ${scope !== "total" && html`<${Text} id="budget-name" label="Name" value=${name} onInput=${setName} error=${wrong.name} hint="empty: each has its own" />`}
      <${Text} id="budget-limit" label="Limit in USD" value=${limit} onInput=${setLimit} error=${wrong.limit_usd} />
      <${Choice}
        id="budget-window"
        label="For each"
        value=${window}
        options=${["hour", "day", "week", "month", "lifetime"]}
        error=${wrong.window}
        onInput=${setWindow}
      />
      <button disabled=${!limit}>Review the budget</button>
    </form>
    ${Object.entries(wrong)
      .filter(([key]) => !known.has(key))
      .map(([, message]) => html`<${Failure} error=${{ message }} />`)}`;
}
