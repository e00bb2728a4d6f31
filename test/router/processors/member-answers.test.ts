import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { descriptorOf } from '../../../src/router/processors/operations.js'
import { Asked, CALL_TIMEOUT_MS } from './asked.js'

describe('members of groups', () => {
  const membership = { groupId: 'billing', memberId: 'm', instanceId: null, connection: 'one', generationId: 3 }
  const asks = {
    joinGroup: { ...membership, sessionTimeoutMs: 10, rebalanceTimeoutMs: 1_000, protocols: [{ name: 'range' }] },
    syncGroup: { ...membership, assignments: [{ memberId: 'm' }], rebalanceTimeoutMs: 1_000 },
    heartbeat: membership,
    leaveGroup: membership
  }
  const good = {
    joinGroup: { errorCode: 0, generationId: 4, memberId: 'm', leaderId: 'm', protocolName: 'range', members: [] },
    syncGroup: { errorCode: 0, assignment: Buffer.from('a') },
    heartbeat: { errorCode: 0 },
    leaveGroup: { errorCode: 0 }
  }
  const kinds = Object.keys(asks) as (keyof typeof asks)[]

  for (const kind of kinds) {
    describe(kind, () => {
      let asked: Asked
      beforeEach(() => (asked = new Asked(kind)))

      it('is a call of its own, in the order in which it was asked', async () => {
        asked.ask(asks[kind])
        asked.ask({ ...asks[kind], memberId: 'n' })
        await asked.settle(good[kind])
        expect(asked.told.map(({ length }) => length)).to.deep.equal([1, 0])
        const { errorCode: _, ...outcome } = good[kind]
        expect(asked.told[0]![0]).to.deep.equal({ type: 'success', ...outcome })
        await asked.settle(good[kind])
        expect(asked.sent.map(({ api }) => api)).to.deep.equal([kind, kind])
        expect(asked.sent.map(({ call }) => (call as { memberId: string }).memberId)).to.deep.equal(['m', 'n'])
        expect(asked.processor.isEmpty).to.equal(true)
      })

      it('is not sent when it was answered meanwhile, and given back when the broker is left', async () => {
        asked.ask(asks[kind]).settled = true
        const second = asked.ask(asks[kind])
        const third = asked.ask(asks[kind])
        expect(asked.processor.callFailed(await asked.next(), new Error('cut'), true)).to.deep.equal([second])
        expect(asked.processor.drain()).to.deep.equal([third])
        expect(await asked.next()).to.equal(undefined)
      })

      it('waits as long as the other members may take, where they are waited for', async () => {
        asked.ask(asks[kind])
        await asked.next()
        const waitsForOthers = kind === 'joinGroup' || kind === 'syncGroup'
        const timeoutMs = waitsForOthers ? CALL_TIMEOUT_MS + 1_000 : CALL_TIMEOUT_MS
        expect(asked.sent[0]!.call).to.include({ groupId: 'billing', memberId: 'm', instanceId: null, timeoutMs })
      })
    })
  }

  it('are told their id where they have to join again under it', async () => {
    const asked = new Asked('joinGroup')
    asked.ask(asks.joinGroup)
    await asked.settle({ ...good.joinGroup, errorCode: errorCodes.MEMBER_ID_REQUIRED, memberId: 'given' })
    expect(asked.told[0]).to.deep.equal([{ type: 'memberIdRequired', memberId: 'given' }])
  })

  it('of one group share no connection with those of another, or with each other', () => {
    const connectionOf = (of: object): string =>
      descriptorOf('heartbeat').connection!({ ...membership, ...of } as never)
    expect(connectionOf({})).to.equal(connectionOf({ memberId: 'other' }))
    expect(connectionOf({})).not.to.equal(connectionOf({ groupId: 'audit' }))
    expect(connectionOf({})).not.to.equal(connectionOf({ connection: 'two' }))
  })
})
