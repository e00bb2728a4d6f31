import type { VNode } from 'preact'
import type { Trouble } from '../status/status.js'
import { html } from './html.js'

/** Everything that is wrong, worst first. */
export function TroubleList({ trouble }: { readonly trouble: readonly Trouble[] }): VNode {
  if (trouble.length === 0) {
    return html`<p class="calm"><span class="dot ok" aria-hidden="true"></span>Nothing. Records flow, and nothing is about to end.</p>`
  }
  return html`<ol class="trouble" role="list">
    ${trouble.map(
      row => html`<li key=${keyOf(row)} class=${row.severity} data-kind=${row.kind}>
        <div class="head">
          <span class="badge">${row.severity === 'bad' ? 'Bad' : 'Warning'}</span>
          <h3>${row.subject}</h3>
          <span class="kind">${wordsOf(row.kind)}</span>
        </div>
        <p class="cause">${row.cause}</p>
        <p class="next"><b>Next:</b> ${row.next} <code class="see">${row.see}</code></p>
      </li>`
    )}
  </ol>`
}

/** The same trouble of two looks has the same key. */
export const keyOf = ({ kind, subject }: Trouble): string => `${kind} ${subject}`

/** `noLeader` => `no leader` */
const wordsOf = (kind: string): string => kind.replace(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`)
