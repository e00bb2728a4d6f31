import type { VNode } from 'preact'
import { useRef } from 'preact/hooks'
import type { Status, Trouble } from '../status/status.js'
import { countOf } from '../status/units.js'
import { newsOf } from './announcer.js'
import type { Refused } from './ask.js'
import { credentials } from './credentials.js'
import { instantOf, upFor } from './format.js'
import { html, type View } from './html.js'
import { Lag } from './lag.js'
import { Parts } from './parts.js'
import type { Looked, Poll } from './poll.js'
import { RecordForm } from './record-form.js'
import { SignIn } from './sign-in.js'
import { TroubleList } from './trouble-list.js'
import { Waiting } from './waiting.js'
import { Slow } from './way.js'

export interface AppProps {
  readonly looked: Looked
  readonly poll: Poll
}

export function App({ looked, poll }: AppProps): VNode {
  const { samples, problem, isPaused } = looked
  const status = samples[samples.length - 1]?.status
  const signOut = (): void => {
    credentials.forget()
    poll.now()
  }
  return html`<div class="page">
    <${Header} status=${status} problem=${problem} isPaused=${isPaused} pause=${() => poll.pause(!isPaused)} signOut=${signOut} />
    <main>
      <${Announcer} status=${status} />
      ${problem?.status === 401 && html`<${SignIn} message=${problem.message} done=${() => poll.now()} />`}
      ${problem !== undefined && problem.status !== 401 && html`<${Silence} problem=${problem} status=${status} />`}
      ${status !== undefined && problem?.status !== 401 && html`<${Questions} looked=${looked} status=${status} />`}
    </main>
    <footer><p>The same as JSON: <a href="status.json">/status.json</a> · for Prometheus: <a href="metrics">/metrics</a> · every row: <a href="https://github.com/castellan-kafka/castellan/blob/main/docs/status.md" rel="noreferrer">docs/status.md</a></p></footer>
  </div>`
}

interface HeaderProps {
  readonly status: Status | undefined
  readonly problem: Refused | undefined
  readonly isPaused: boolean
  readonly pause: () => void
  readonly signOut: () => void
}

function Header({ status, problem, isPaused, pause, signOut }: HeaderProps): VNode {
  const [level, text] = verdictOf(status, problem)
  return html`<header>
    <h1><span class="mark" aria-hidden="true"></span>Castellan</h1>
    <p class="verdict-line ${level}"><span class="dot ${level}" aria-hidden="true"></span><b id="verdict">${text}</b></p>
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

function verdictOf(status: Status | undefined, problem: Refused | undefined): readonly [level: string, text: string] {
  if (problem !== undefined) return ['bad', problem.status === 401 ? 'Sign in' : 'No answer']
  if (status === undefined) return ['none', 'Looking…']
  const bad = status.trouble.filter(({ severity }) => severity === 'bad').length
  const warnings = status.trouble.length - bad
  if (bad > 0) return ['bad', `${countOf(bad, 'trouble')}${warnings > 0 ? `, ${countOf(warnings, 'warning')}` : ''}`]
  return warnings > 0 ? ['warning', countOf(warnings, 'warning')] : ['ok', 'All is well']
}

/** What is said to readers who do not see the page: changes only. */
function Announcer({ status }: { readonly status: Status | undefined }): VNode {
  const before = useRef<readonly Trouble[] | undefined>(undefined)
  const said = useRef('')
  if (status !== undefined && status.trouble !== before.current) {
    said.current = newsOf(before.current, status.trouble) ?? said.current
    before.current = status.trouble
  }
  return html`<p class="hidden" role="status" aria-live="polite">${said.current}</p>`
}

function Silence({ problem, status }: { readonly problem: Refused; readonly status: Status | undefined }): VNode {
  // A refusal names the setting that it comes from.
  const next = problem.status === 403 ? '' : 'Is the process running? The page tries again every two seconds.'
  return html`<section class="panel silence" role="alert">
    <h2>${problem.status === 0 ? 'The gateway does not answer' : 'The gateway refuses'}</h2>
    <p>${problem.message}. ${next}</p>
    ${status !== undefined && html`<p class="note">Below is what it said at ${instantOf(status.at)}.</p>`}
  </section>`
}

interface QuestionProps {
  readonly id: string
  readonly title: string
  readonly children?: View
}

function Question({ id, title, children }: QuestionProps): VNode {
  return html`<section class="panel" id=${id} aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>${children}</section>`
}

const TITLES = [
  ['trouble', 'What is in trouble?'],
  ['record', 'Is my record in Kafka?'],
  ['slow', 'Why slow or refused?'],
  ['waiting', 'What waits?'],
  ['lag', 'Who lags?']
] as const
const titleOf = new Map<string, string>(TITLES)

function Questions({ looked, status }: { readonly looked: Looked; readonly status: Status }): VNode {
  const counts: Readonly<Record<string, number>> = {
    trouble: status.trouble.length,
    waiting: status.topics.rows.filter(({ memory, log }) => memory.records + (log?.records ?? 0) > 0).length,
    ...(status.lag !== undefined && { lag: status.lag.total })
  }
  const question = (id: string, children: View): VNode =>
    html`<${Question} id=${id} title=${titleOf.get(id)}>${children}</${Question}>`
  return html`<div class="questions">
    <nav aria-label="Questions"><ul>${TITLES.map(
      ([id, title]) =>
        html`<li><a href="#${id}">${title}${id in counts && html` <span class="count">${counts[id]}</span>`}</a></li>`
    )}</ul></nav>
    ${question('trouble', html`<div><${TroubleList} trouble=${status.trouble} /><${Parts} status=${status} /></div>`)}
    ${question('record', html`<${RecordForm} />`)}
    ${question('slow', html`<${Slow} samples=${looked.samples} />`)}
    ${question('waiting', html`<${Waiting} status=${status} />`)}
    ${question('lag', html`<${Lag} status=${status} />`)}
  </div>`
}
