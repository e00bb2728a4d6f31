import { expect } from 'chai'
import { VERB_FACTS } from '../../src/verbs/facts.js'
import type { Verbs } from '../../src/verbs/verbs.js'
import { WrappedGroups, WrappedQueues, WrappedVerbs } from '../../src/verbs/wrapped.js'

const PATHS = Object.keys(VERB_FACTS).filter(path => !/^(receipts|webhooks)\./.test(path))

type Answer = { readonly verb: string; readonly isOwn: boolean; readonly asked: readonly unknown[] }
type Part = { [name: string]: Part & ((...asked: unknown[]) => Answer) }

/** The part of a path and the name in it: `queues` and `settle` of `queues.settle`. */
function placeOf(of: object, path: string): readonly [Part, string] {
  const names = path.split('.')
  const name = names.pop()!
  return [names.reduce<Part>((part, one) => (part[one] ??= {} as Part[string]), of as Part), name]
}

/** Verbs that tell who was asked what. */
function telling(): Verbs {
  const own: Part = {}
  for (const verb of PATHS) {
    const [part, name] = placeOf(own, verb)
    Object.assign(part, {
      [name](this: unknown, ...asked: unknown[]) {
        return { verb, isOwn: this === part, asked }
      }
    })
  }
  return own as unknown as Verbs
}

const wrapped = (own: Verbs): WrappedVerbs =>
  new WrappedVerbs(own, {
    groups: new WrappedGroups(own.groups),
    queues: new WrappedQueues(own.queues)
  })

describe('wrapped verbs', () => {
  /** They have no answer. */
  const TOLD = ['lost', 'queues.takeBack', 'queues.count']

  for (const verb of PATHS) {
    it(`pass on ${verb}, with all that it is asked`, () => {
      const own = telling()
      const told: Answer[] = []
      const [ownPart, name] = placeOf(own, verb)
      const answer = ownPart[name]!
      Object.assign(ownPart, {
        [name](...asked: unknown[]) {
          told.push(answer.apply(this, asked))
          return told.at(-1)
        }
      })
      const [part] = placeOf(wrapped(own), verb)
      const given = part[name]!('one', 'two', 'three')
      const asked = verb === 'durableLog' ? [] : ['one', 'two', 'three']
      expect(told).to.deep.equal([{ verb, isOwn: true, asked }])
      expect(given).to.equal(TOLD.includes(verb) ? undefined : told[0])
    })
  }

  it('have what may be absent as it is at the moment', () => {
    const own = telling()
    const whole = wrapped(own)
    expect(whole.queues.holder).to.equal(undefined)
    Object.assign(own.queues, { holder: 'ab', count: undefined })
    Object.assign(own, { isReady: true })
    expect(whole.queues.holder).to.equal('ab')
    expect(() => whole.queues.count?.([])).not.to.throw()
    expect(whole.isReady).to.equal(true)
  })
})
