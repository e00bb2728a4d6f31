import { expect } from 'chai'
import { answerOf } from '../../../src/deployment/calls/keyed-requests.js'
import { PeerError } from '../../../src/deployment/calls/peers.js'
import { NotCarriedOutError } from '../../../src/http/api/key-owners.js'

describe('the answer of the owner of a key', () => {
  const amounts = { records: 1, bytes: 2 }
  const body = Buffer.from('x')

  it('comes to the asking process as the owner has written it', async () => {
    const told = { answer: { status: 200, headers: [['etag', '1']] as const, body }, ...amounts }
    expect(await answerOf('the gateway b', Promise.resolve(told))).to.deep.equal(told)
  })

  it('has headers where the owner has sent them as lines alone', async () => {
    const told = { answer: { status: 200, lines: 'etag: 1\r\nage: 2\r\n', body }, ...amounts }
    const { answer } = await answerOf('the gateway b', Promise.resolve(told))
    expect(answer.headers).to.deep.equal([
      ['etag', '1'],
      ['age', '2']
    ])
    expect(answer).to.include({ status: 200, lines: told.answer.lines })
  })

  it('is not known where what it has sent makes no sense', async () => {
    const error = await answerOf('the gateway b', Promise.reject(new PeerError('no sense'))).catch(one => one)
    expect(error).to.be.instanceOf(Error).and.not.instanceOf(NotCarriedOutError)
    expect(error.message).to.equal('the gateway b, which owns the key, does not answer')
  })
})
