import { render, type VNode } from 'preact'
import { docsUrl } from '../status/docs.js'
import type { Status, Trouble } from '../status/status.js'
import { countOf } from '../status/units.js'
import { askGateway, credentials, NotAsAsked } from './ask.js'
import { Lag, Parts, TroubleList, Waiting } from './lists.js'
import { RecordForm } from './record.js'
import { Slow } from './slow.js'
import { html, instantOf } from './table.js'
import { EVERY_MS, type Sample } from './way.js'

/** Three minutes of looks. */
const MAX_SAMPLES = 90
/** With more news than this, only their number is read out: a listener cannot stop a list that is being read. */
const MAX_NEWS = 3
const root = document.getElementById('app')!

let looked = {
  /** The oldest first; empty: no answer has come yet. */
  samples: [] as readonly Sample[],
  problem: undefined as NotAsAsked | undefined,
  isPaused: false,
  /** Text for readers who do not see the page. */
  news: ''
}
let timer: ReturnType<typeof setTimeout> | undefined
let isAsking = false

function know(news: Partial<typeof looked>): void {
  looked = { ...looked, ...news }
  const [level, verdict] = verdictOf(looked.samples[looked.samples.length - 1]?.status, looked.problem)
  document.title = level === 'bad' || level === 'warning' ? `${verdict} · Castellan` : 'Castellan'
  render(html`<${App} />`, root)
}

/** Asks for the status at once, and every two seconds from now on, while the page can be seen and is not paused. */
async function look(): Promise<void> {
  clearTimeout(timer)
  if (isAsking || looked.isPaused || document.visibilityState === 'hidden') return
  isAsking = true
  try {
    const status = (await askGateway('status.json')) as Status
    const before = looked.samples[looked.samples.length - 1]?.status.trouble
    const samples = [...looked.samples, { at: performance.now(), status }].slice(-MAX_SAMPLES)
    know({ samples, problem: undefined, news: newsOf(before, status.trouble) ?? looked.news })
  } catch (error) {
    know({ problem: error instanceof NotAsAsked ? error : new NotAsAsked(0, String(error)) })
  }
  isAsking = false
  // Without credentials the next answer is the same.
  if (looked.problem?.status !== 401) timer = setTimeout(() => void look(), EVERY_MS)
}

/** Says what has changed between two looks; `undefined`: nothing has. */
function newsOf(before: readonly Trouble[] | undefined, now: readonly Trouble[]): string | undefined {
  if (before === undefined) return now.length === 0 ? 'All is well.' : `${countOf(now.length, 'trouble')}.`
  const without = (rows: readonly Trouble[], others: readonly Trouble[]) =>
    rows.filter(row => !others.some(({ kind, subject }) => kind === row.kind && subject === row.subject))
  const [begun, ended] = [without(now, before), without(before, now)]
  if (begun.length + ended.length === 0) return undefined
  if (now.length === 0) return 'All is well again.'
  const more = begun.length - MAX_NEWS
  return [
    ...begun.slice(0, MAX_NEWS).map(({ subject, cause }) => `New: ${subject}. ${cause}`),
    ...(more > 0 ? [`${more} more are new.`] : []),
    ...ended.slice(0, MAX_NEWS).map(({ subject }) => `Over: ${subject}.`)
  ].join(' ')
}

function App(): VNode {
  const { samples, problem, news } = looked
  const status = samples[samples.length - 1]?.status
  return html`<div class="page">
    <${Header} status=${status} />
    <main>
      <p class="hidden" role="status" aria-live="polite">${news}</p>
      ${problem?.status === 401 && html`<${SignIn} message=${problem.message} />`}
      ${problem !== undefined && problem.status !== 401 && html`<${Silence} problem=${problem} status=${status} />`}
      ${status !== undefined && problem?.status !== 401 && html`<${Questions} status=${status} />`}
    </main>
    <footer><p>The same as JSON: <a href="status.json">/status.json</a> · for Prometheus: <a href="metrics">/metrics</a> · every row: <a href=${docsUrl('docs/status.md')} target="_blank" rel="noreferrer">docs/status.md</a></p></footer>
  </div>`
}

function Header({ status }: { readonly status: Status | undefined }): VNode {
  const { isPaused, problem } = looked
  const [level, verdict] = verdictOf(status, problem)
  const pause = (): void => {
    know({ isPaused: !isPaused })
    void look()
  }
  const signOut = (): void => {
    credentials.forget()
    void look()
  }
  return html`<header>
    <h1><span class="mark" aria-hidden="true"></span>Castellan</h1>
    <p class="verdict-line ${level}"><span class="dot ${level}" aria-hidden="true"></span><b id="verdict">${verdict}</b></p>
    <p class="facts">
      ${
        status !== undefined &&
        html`<span>version ${status.gateway.version}</span><span>${status.gateway.broker === 'embedded' ? 'embedded broker' : 'Kafka'}</span>
          <span>up ${upFor(status.gateway.uptimeSeconds)}</span><span class="number">as of ${instantOf(status.at)}</span>`
      }
      <button type="button" aria-pressed=${isPaused} onClick=${pause}>${isPaused ? 'Go on' : 'Pause'}</button>
      ${credentials.get() !== null && html`<button type="button" onClick=${signOut}>Sign out</button>`}
    </p>
  </header>`
}

function verdictOf(
  status: Status | undefined,
  problem: NotAsAsked | undefined
): readonly [level: string, text: string] {
  if (problem !== undefined) return ['bad', problem.status === 401 ? 'Sign in' : 'No answer']
  if (status === undefined) return ['none', 'Looking…']
  const bad = status.trouble.filter(({ severity }) => severity === 'bad').length
  const warnings = countOf(status.trouble.length - bad, 'warning')
  if (bad === status.trouble.length) return bad === 0 ? ['ok', 'All is well'] : ['bad', countOf(bad, 'trouble')]
  return bad === 0 ? ['warning', warnings] : ['bad', `${countOf(bad, 'trouble')}, ${warnings}`]
}

/** `upFor(3_700)` is `1 h 1 min`. */
function upFor(seconds: number): string {
  const days = Math.floor(seconds / 86_400)
  const hours = Math.floor(seconds / 3_600) % 24
  const minutes = Math.floor(seconds / 60) % 60
  if (days > 0) return `${days} d ${hours} h`
  if (hours > 0) return `${hours} h ${minutes} min`
  return minutes > 0 ? `${minutes} min` : `${Math.floor(seconds)} s`
}

function Silence({ problem, status }: { readonly problem: NotAsAsked; readonly status: Status | undefined }): VNode {
  // A refusal names the setting that it comes from.
  const next = problem.status === 403 ? '' : 'Is the process running? The page tries again every two seconds.'
  return html`<section class="panel silence" role="alert">
    <h2>${problem.status === 0 ? 'The gateway does not answer' : 'The gateway refuses'}</h2>
    <p>${problem.message}. ${next}</p>
    ${status !== undefined && html`<p class="note">Below is what it said at ${instantOf(status.at)}.</p>`}
  </section>`
}

function SignIn({ message }: { readonly message: string }): VNode {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault()
    credentials.take(new FormData(event.target as HTMLFormElement))
    void look()
  }
  return html`<section class="panel sign-in" aria-labelledby="sign-in">
    <h2 id="sign-in">Sign in</h2>
    <p role="alert">The gateway asks for credentials: ${message}.</p>
    <form onSubmit=${submit}>
      <label>Token <input name="token" type="password" required autocomplete="off" /></label>
      <button type="submit">Sign in</button>
    </form>
    <p class="or">or</p>
    <form onSubmit=${submit}>
      <label>User <input name="user" required autocomplete="username" /></label>
      <label>Password <input name="password" type="password" autocomplete="current-password" /></label>
      <button type="submit">Sign in</button>
    </form>
    <p class="note">They need the permission <code>management</code>. This tab keeps them until it is closed.</p>
  </section>`
}

function Questions({ status }: { readonly status: Status }): VNode {
  const waiting = status.topics.rows.filter(({ memory, log }) => memory.records + (log?.records ?? 0) > 0).length
  const questions = [
    [
      'trouble',
      'What is in trouble?',
      html`<div><${TroubleList} status=${status} /><${Parts} status=${status} /></div>`,
      status.trouble.length
    ],
    ['record', 'Is my record in Kafka?', html`<${RecordForm} />`],
    ['slow', 'Why slow or refused?', html`<${Slow} samples=${looked.samples} />`],
    ['waiting', 'What waits?', html`<${Waiting} status=${status} />`, waiting],
    ['lag', 'Who lags?', html`<${Lag} status=${status} />`, status.lag?.total]
  ] as const
  return html`<div class="questions">
    <nav aria-label="Questions"><ul>${questions.map(
      ([id, title, , count]) =>
        html`<li><a href="#${id}">${title}${count !== undefined && html` <span class="count">${count}</span>`}</a></li>`
    )}</ul></nav>
    ${questions.map(
      ([id, title, answer]) =>
        html`<section class="panel" id=${id} aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>${answer}</section>`
    )}
  </div>`
}

root.replaceChildren()
document.addEventListener('visibilitychange', () => void look())
void look()
