import { appendFileSync } from 'node:fs'
import { defineKafboyHooks, type KafboyDecision } from '../../../../src/apis/kafboy/hooks/hooks.js'

/** One decision of every kind; the first field of a form says which. Errors are written to the file in HOOK_ERRORS. */
const anything = (value: unknown): KafboyDecision => value as KafboyDecision

const decisions: Record<string, KafboyDecision> = {
  unchanged: { produce: {} },
  redirect: { produce: { topic: 'elsewhere' } },
  text: { produce: { data: 'text' } },
  bytes: { produce: { data: Buffer.from([0, 255]) } },
  list: { produce: { data: ['a', 'b', 'c'] } },
  keyed: { produce: { data: { key: 'k', value: 'v' } } },
  pairs: {
    produce: {
      data: [
        { key: 'k', value: 'v' },
        { key: null, value: null }
      ]
    }
  },
  'as-sync': { produce: { data: 'x', mode: 'sync' } },
  'as-batch': { produce: { data: 'x', mode: 'batchAsync' } },
  reply: { status: 200, body: '{"not":"produced"}' },
  'reply-object': { status: 200, body: { a: 1 } },
  'reply-and-produce': { status: 200, body: '{"ok":"fast reply"}', produce: { data: 'beside' } },
  error: { error: 'no "quotes"\n' },
  'error-number': anything({ error: 5 }),
  'topic-and-error': anything({ topic: 'elsewhere', error: 'not there' }),
  'empty-list': [],
  'empty-data': { produce: { data: [] } },
  'status-201': anything({ status: 201, body: '{}' }),
  nothing: anything({}),
  text2: anything('text'),
  'bad-topic': anything({ produce: { topic: 5 } }),
  'bad-mode': anything({ produce: { mode: 'fast' } }),
  'bad-data': anything({ produce: { data: [5] } })
}

export default defineKafboyHooks({
  editJson: ({ body }) => decisions[body[0]?.[0] ?? 'unchanged'],
  onError({ status, message }) {
    if (process.env.HOOK_ERRORS) appendFileSync(process.env.HOOK_ERRORS, `${status} ${message}\n`)
  }
})
