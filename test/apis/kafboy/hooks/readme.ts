import { defineKafboyHooks } from '../../../../src/apis/kafboy/hooks/hooks.js'

/** The example of kafboy's README. */
export default defineKafboyHooks({
  editJson({ topic, body }, _answer, ekaf) {
    const [first] = body
    if (first === undefined) return { error: `${topic}.insufficient` }
    if (body.length === 1 && first[0] === 'hello') return { produce: { data: String(first[1]) } }
    ekaf.produceAsyncBatched(topic, JSON.stringify({ extra: 'true', ...Object.fromEntries(body) }))
    return { status: 200, body: '{"ok":"fast reply"}' }
  }
})
