import type { VNode } from 'preact'
import { useState } from 'preact/hooks'
import type { FoundRecords, RecordQuestion } from '../status/record-question.js'
import { bytesText, countOf, countText } from '../status/units.js'
import { ask, Refused } from './ask.js'
import { instantOf } from './format.js'
import { html } from './html.js'

type Kind = RecordQuestion['by']

type Asked =
  | { readonly type: 'nothing' }
  | { readonly type: 'asking' }
  | { readonly type: 'found'; readonly answer: FoundRecords }
  | { readonly type: 'failed'; readonly message: string }

/** Asks whether a record is in Kafka, by its receipt, or by its topic and key. */
export function RecordForm(): VNode {
  const [by, choose] = useState<Kind>('key')
  const [asked, set] = useState<Asked>({ type: 'nothing' })
  const submit = (event: SubmitEvent): void => {
    event.preventDefault()
    set({ type: 'asking' })
    void find(by, new FormData(event.target as HTMLFormElement)).then(set)
  }
  return html`<div>
    <form class="record" onSubmit=${submit} autocomplete="off">
      <fieldset>
        <legend class="hidden">Look for</legend>
        <label><input type="radio" name="by" value="key" checked=${by === 'key'} onChange=${() => choose('key')} /> topic and key</label>
        <label><input type="radio" name="by" value="receipt" checked=${by === 'receipt'} onChange=${() => choose('receipt')} /> receipt</label>
      </fieldset>
      ${
        by === 'key'
          ? html`<label>Topic <input name="topic" required maxlength="249" spellcheck="false" /></label>
              <label>Key <input name="key" spellcheck="false" /></label>`
          : html`<label class="wide">Receipt <input name="receipt" required spellcheck="false" /></label>`
      }
      <button type="submit" disabled=${asked.type === 'asking'}>Look</button>
    </form>
    <div class="answer" role="status" aria-live="polite"><${Answer} asked=${asked} by=${by} /></div>
  </div>`
}

async function find(by: Kind, form: FormData): Promise<Asked> {
  const text = (name: string): string => String(form.get(name) ?? '')
  const question: RecordQuestion =
    by === 'key' ? { by, topic: text('topic'), key: text('key') } : { by, receipt: text('receipt').trim() }
  try {
    return { type: 'found', answer: (await ask('find-record', question)) as FoundRecords }
  } catch (error) {
    const { message } = error instanceof Refused ? error : new Refused(0, String(error))
    return { type: 'failed', message }
  }
}

function Answer({ asked, by }: { readonly asked: Asked; readonly by: Kind }): VNode {
  switch (asked.type) {
    case 'nothing':
      return html`<p class="note">${NOTES[by]}</p>`
    case 'asking':
      return html`<p class="note">Looking…</p>`
    case 'failed':
      return html`<p class="verdict bad"><b>Not known.</b> ${asked.message}.</p>`
    case 'found':
      return html`<${Found} answer=${asked.answer} />`
  }
}

function Found({ answer }: { readonly answer: FoundRecords }): VNode {
  const { verdict, message, caveat, records, searched } = answer
  const [word, level] = (caveat === undefined ? undefined : DOUBTFUL[verdict]) ?? VERDICTS[verdict]
  return html`<div>
    <p class="verdict ${level}"><b>${word}</b> ${message}</p>
    ${caveat !== undefined && html`<p class="verdict warning caveat"><b>But:</b> ${caveat}</p>`}
    ${
      records.length > 0 &&
      html`<ul class="found">${records.map(
        ({
          partition,
          offset,
          timestamp,
          valueBytes
        }) => html`<li>partition <b class="number">${partition}</b>, offset <b class="number">${countText(offset)}</b>
          ${timestamp !== undefined && html`, ${instantOf(timestamp)}`}
          ${valueBytes !== undefined && html`, ${valueBytes === null ? 'no value (a tombstone)' : bytesText(valueBytes)}`}</li>`
      )}</ul>`
    }
    ${
      searched.length > 0 &&
      html`<p class="note">Looked at ${searched
        .slice(0, MAX_NAMED)
        .map(({ partition, from, to, records: count, isWhole }) =>
          count === 0
            ? `partition ${partition}, ${isWhole ? 'which is empty' : 'in which no record was read'}`
            : `${countOf(count, 'record')} of partition ${partition}, offsets ${countText(from)} to ${countText(to)}${isWhole ? ' (all of them)' : ''}`
        )
        .join(
          '; '
        )}${searched.length > MAX_NAMED && `; and ${countOf(searched.length - MAX_NAMED, 'more partition')}`}.</p>`
    }
  </div>`
}

/** What is said before a question is asked. */
const NOTES: Readonly<Record<Kind, string>> = {
  key: '10,000 records or 16 MiB are looked at, the newest first, in the partitions of the key, then in others. The key counts as text and as JSON, with quotes. Values are never shown.',
  receipt:
    'A receipt is the value of the header x-castellan-receipt in the answer to the request that sent the records. Only the client that got it can ask for it: sign in as that client, or look by topic and key.'
}

/** Partitions whose offsets are shown. */
const MAX_NAMED = 12

/** Verdicts that what is not in Kafka may change. */
const DOUBTFUL: Readonly<Partial<Record<FoundRecords['verdict'], readonly [word: string, level: string]>>> = {
  yes: ['Yes, but a newer one may not be.', 'warning'],
  no: ['Not in Kafka.', 'warning']
}

const VERDICTS: Readonly<Record<FoundRecords['verdict'], readonly [word: string, level: string]>> = {
  yes: ['Yes.', 'ok'],
  no: ['No.', 'bad'],
  notFound: ['Not found.', 'warning'],
  pending: ['Not yet.', 'warning'],
  unknown: ['Not known.', 'warning']
}
