import { expect } from 'chai'
import { isUnanswered, type PeerError } from '../../../src/deployment/calls/peers.js'
import { Link } from '../../../src/deployment/workers/link.js'
import type { WorkerLink } from '../../../src/deployment/workers/messages.js'
import { WorkerPeers } from '../../../src/deployment/workers/worker-peers.js'

const PATIENT = { timeoutMs: 60_000 }

describe('calls of a worker to the others', () => {
  it('leave half of its link free where one of them answers nothing', async () => {
    const asked: number[] = []
    const link: WorkerLink = new Link(frame => {
      if (frame.type !== 'call') return
      const { to } = frame.body as { to: number }
      if (to === 3) queueMicrotask(() => answer(frame.id))
      else asked.push(frame.id)
    })
    const answer = (id: number): void => link.receive({ type: 'answer', id, body: 'fine' })
    const peers = new WorkerPeers(link, 1, 3)
    const errors: PeerError[] = []
    const calls = Array.from({ length: 50_001 }, () =>
      peers.call(2, 'acquire', {}, PATIENT).catch(error => errors.push(error))
    )
    await calls.at(-1)
    expect([asked.length, errors.length]).to.deep.equal([50_000, 1])
    expect([errors[0]!.cause?.code, isUnanswered(errors[0])], 'it was not asked').to.deep.equal(['overloaded', false])
    expect(await peers.call(3, 'acquire', {}, PATIENT)).to.equal('fine')
    for (const id of asked) answer(id)
    await Promise.all(calls)
    expect(errors).to.have.length(1)
    const again = peers.call(2, 'acquire', {}, PATIENT)
    answer(asked.at(-1)!)
    expect(await again).to.equal('fine')
  })
})
