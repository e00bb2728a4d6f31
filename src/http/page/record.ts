import type { VNode } from 'preact'
import { useState } from 'preact/hooks'
import type { FoundRecords } from '../status/record-question.js'
import { bytesText, countOf, countText } from '../status/units.js'
import { askGateway, fieldOf } from './ask.js'
import { html, instantOf } from './table.js'

const NOTES = {
  key: '10,000 records or 16 MiB are looked at, the newest first, in the partitions of the key, then in others. The key counts as text and as JSON, with quotes. Values are never shown.',
  receipt:
    'A receipt is the value of the header x-castellan-receipt in the answer to the request that sent the records. Only the client that got it can ask for it: sign in as that client, or look by topic and key.'
}

/** Asks whether a record is in Kafka, by its receipt, or by its topic and key. */
export function RecordForm(): VNode {
  const [by, choose] = useState<keyof typeof NOTES>('key')
  const [said, say] = useState<VNode | undefined>()
  const [isAsking, set] = useState(false)
  const submit = (event: SubmitEvent): void => {
    event.preventDefault()
    const form = new FormData(event.target as HTMLFormElement)
    const key = { by, topic: fieldOf(form, 'topic'), key: fieldOf(form, 'key') }
    say(html`<p class="note">Looking…</p>`)
    set(true)
    void askGateway('find-record', by === 'key' ? key : { by, receipt: fieldOf(form, 'receipt').trim() })
      .then(answer => say(foundText(answer as FoundRecords)))
      .catch((error: Error) => say(html`<p class="verdict bad"><b>Not known.</b> ${error.message}.</p>`))
      .finally(() => set(false))
  }
  const choice = (kind: keyof typeof NOTES, name: string): VNode =>
    html`<label><input type="radio" name="by" value=${kind} checked=${by === kind} onChange=${() => choose(kind)} /> ${name}</label>`
  return html`<div>
    <form class="record" onSubmit=${submit} autocomplete="off">
      <fieldset>
        <legend class="hidden">Look for</legend>
        ${choice('key', 'topic and key')}
        ${choice('receipt', 'receipt')}
      </fieldset>
      ${
        by === 'key'
          ? html`<label>Topic <input name="topic" required maxlength="249" spellcheck="false" /></label>
              <label>Key <input name="key" spellcheck="false" /></label>`
          : html`<label class="wide">Receipt <input name="receipt" required spellcheck="false" /></label>`
      }
      <button type="submit" disabled=${isAsking}>Look</button>
    </form>
    <div class="answer" role="status" aria-live="polite">${said ?? html`<p class="note">${NOTES[by]}</p>`}</div>
  </div>`
}

const VERDICTS = {
  yes: ['Yes.', 'ok'],
  no: ['No.', 'bad'],
  notFound: ['Not found.', 'warning'],
  pending: ['Not yet.', 'warning'],
  unknown: ['Not known.', 'warning']
} as const
/** The verdicts that may still change. */
const DOUBTFUL = {
  ...VERDICTS,
  yes: ['Yes, but a newer one may not be.', 'warning'],
  no: ['Not in Kafka.', 'warning']
} as const

/** Partitions whose offsets are shown. */
const MAX_NAMED = 12

function foundText({ verdict, message, caveat, records, searched }: FoundRecords): VNode {
  const [word, level] = (caveat === undefined ? VERDICTS : DOUBTFUL)[verdict]
  const more = searched.length - MAX_NAMED
  const looked = [
    ...searched.slice(0, MAX_NAMED).map(partText),
    ...(more > 0 ? [`and ${countOf(more, 'more partition')}`] : [])
  ]
  return html`<div>
    <p class="verdict ${level}"><b>${word}</b> ${message}</p>
    ${caveat !== undefined && html`<p class="verdict warning caveat"><b>But:</b> ${caveat}</p>`}
    ${records.length > 0 && html`<ul class="found">${records.map(recordRow)}</ul>`}
    ${looked.length > 0 && html`<p class="note">Looked at ${looked.join('; ')}.</p>`}
  </div>`
}

const recordRow = ({ partition, offset, timestamp, valueBytes }: FoundRecords['records'][number]): VNode =>
  html`<li>partition <b class="number">${partition}</b>, offset <b class="number">${countText(offset)}</b>
    ${timestamp !== undefined && html`, ${instantOf(timestamp)}`}
    ${valueBytes !== undefined && html`, ${valueBytes === null ? 'no value (a tombstone)' : bytesText(valueBytes)}`}</li>`

function partText({ partition, from, to, records, isWhole }: FoundRecords['searched'][number]): string {
  if (records === 0) return `partition ${partition}, ${isWhole ? 'which is empty' : 'in which no record was read'}`
  const all = isWhole ? ' (all of them)' : ''
  return `${countOf(records, 'record')} of partition ${partition}, offsets ${countText(from)} to ${countText(to)}${all}`
}
