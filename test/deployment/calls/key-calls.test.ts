import { expect } from 'chai'
import { answerOf } from '../../../src/deployment/calls/key-calls.js'
import { NotCarriedOutError } from '../../../src/http/api/key-owners.js'

describe('the answer of the owner of a key', () => {
  const answer = { status: 200, headers: [], body: Buffer.from('x') }
  const told = (answered: unknown): Promise<unknown> =>
    answerOf('the gateway b', Promise.resolve(answered)).catch((error: Error) => error)

  it('comes to the asking process as the owner has written it', async () => {
    expect(await told({ answer, records: 1, bytes: 2 })).to.deep.equal({ answer, records: 1, bytes: 2 })
  })

  it('is none that makes sense, so that nobody knows what it has done, where it has no bytes', async () => {
    // The library would make as many bytes as such a body says that it has.
    const bodies = [null, 3, 'x', [1], { length: 3 }].map(body => ({ answer: { ...answer, body } }))
    for (const odd of [null, 7, 'x', {}, { answer: null }, { answer: 'x' }, ...bodies]) {
      const error = await told(odd)
      expect(error, JSON.stringify(odd)).to.be.instanceOf(Error).and.not.instanceOf(NotCarriedOutError)
      expect((error as Error).message).to.equal('the gateway b, which owns the key, gives no answer that makes sense')
    }
  })
})
