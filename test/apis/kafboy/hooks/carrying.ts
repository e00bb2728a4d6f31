import { defineKafboyHooks } from '../../../../src/apis/kafboy/hooks/hooks.js'

/** For a form with the field `own`: sends a record of its own, and another one in the place of the request's. */
export default defineKafboyHooks({
  async editJson({ topic, body }, _answer, ekaf) {
    if (body[0]?.[0] === 'own') {
      await ekaf.produceSync(topic, 'sent')
      return { produce: { data: 'edited' } }
    }
    return { produce: {} }
  }
})
