import { expect } from 'chai'
import { SharedTurns } from '../../../src/server/app/lag-turns.js'
import type { PeerHandler, Peers } from '../../../src/server/peers/peers.js'

/** Processes that know each other, and answer at once. */
function peersNamed(ids: readonly string[]): Map<string, Peers> {
  const handlers = new Map<string, PeerHandler<string>>()
  const peerOf = (id: string): Peers => ({
    id,
    others: ids.filter(other => other !== id),
    serve: (name, handler) => void handlers.set(`${id} ${name}`, handler),
    call: async () => undefined,
    callOthers: async (name, body, { timeoutMs }) => {
      const others = ids.filter(other => other !== id)
      return others.map(other =>
        handlers.get(`${other} ${name}`)?.(body, { from: id, timeoutMs, principal: undefined })
      )
    },
    onGone: () => undefined
  })
  return new Map(ids.map(id => [id, peerOf(id)]))
}

describe('SharedTurns', () => {
  const ids = ['one', 'two', 'three']
  const groups = Array.from({ length: 600 }, (_, at) => `group-${at}`)

  it('gives each group to exactly one process, and each process its share', () => {
    const turns = [...peersNamed(ids).values()].map(peer => new SharedTurns(peer, () => new Map()))
    const owners = groups.map(group => turns.filter(turn => turn.isOurs('default', group)).length)
    expect(new Set(owners)).to.deep.equal(new Set([1]))
    for (const turn of turns) {
      expect(groups.filter(group => turn.isOurs('default', group)).length).to.be.within(120, 280)
    }
  })

  it('tells what the others serve', async () => {
    const [one, two, three] = [...peersNamed(ids).values()].map(
      peer => new SharedTurns(peer, () => new Map([['default', [`served by ${peer.id}`]]]))
    )
    expect(two && three && (await one!.servedElsewhere())).to.deep.equal([
      new Map([['default', ['served by two']]]),
      new Map([['default', ['served by three']]])
    ])
  })
})
