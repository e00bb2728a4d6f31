import { defineKafboyHooks } from 'castellan/kafboy'

/**
 * The callback of kafboy's README. It checks the fields of a form, and may add a field before the form is written to
 * Kafka.
 */
export default defineKafboyHooks({
  editJson({ topic, body }, _answer, ekaf) {
    const [first] = body
    if (first === undefined) return { error: `${topic}.insufficient` }
    if (body.length === 1 && first[0] === 'hello') return { produce: { data: String(first[1]) } }
    // The client is answered first. The record is added to a batch.
    ekaf.produceAsyncBatched(topic, JSON.stringify({ extra: 'true', ...Object.fromEntries(body) }))
    return { status: 200, body: '{"ok":"fast reply"}' }
  },
  onError({ status, message }) {
    console.error(`some ${status} error: ${message}`)
  }
})
