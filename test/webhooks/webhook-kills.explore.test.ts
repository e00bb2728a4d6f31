import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { openCastellan, type ProgramCastellan } from '../../src/client/open-castellan.js'
import type { Webhooks } from '../../src/webhooks/webhooks.js'
import { onCluster } from '../support/stage.js'
import { DeliveryHistory, EndpointOfGateway } from './delivery-history.js'
import { status } from './fake-endpoint.js'
import { hook, statusOf, webhooksOf } from './webhook-stage.js'

const PARTITIONS = 4
const KEYS = 60
/** A multiple of the keys. */
const RECORDS = Number(process.env.WEBHOOK_RECORDS ?? 3_000)
const KILLS = Number(process.env.WEBHOOK_KILLS ?? 8)
const AWAY_MS = Number(process.env.WEBHOOK_AWAY_MS ?? 3_000)
const POISON = 'k7:20'

interface Gateway {
  readonly castellan: ProgramCastellan
  readonly webhooks: Webhooks
  readonly endpoint: EndpointOfGateway
}

describe('webhooks of two gateways that are killed', function () {
  this.timeout(280_000)
  const stage = onCluster()

  it('deliver each record, or give it up by a dead letter, in the order of its key', async () => {
    const topic = await stage.topic('orders', PARTITIONS)
    const dead = await stage.topic('dead')
    const history = new DeliveryHistory()
    let isAway = false
    const answerOf = async ({ body }: { readonly body: Buffer }) => {
      await sleep(Math.random() * 10)
      if (isAway) return { kind: 'refused', message: '' } as const
      if (body.toString() === POISON) return 422
      const dice = Math.random()
      if (dice < 0.02) return 500
      if (dice < 0.022) return status(429, 200)
      if (dice < 0.024) return { kind: 'cut', message: '' } as const
      return 204
    }
    const start = async (): Promise<Gateway> => {
      const castellan = await openCastellan({ brokers: stage.bootstrap })
      const endpoint = new EndpointOfGateway(history, answerOf)
      const webhooks = webhooksOf(castellan, endpoint, { random: Math.random })
      webhooks.configure([hook({ topic, deadLetters: dead, maxInFlight: 16 })])
      return { castellan, webhooks, endpoint }
    }
    const kill = async ({ castellan, webhooks, endpoint }: Gateway): Promise<void> => {
      endpoint.isKilled = true
      // Nothing is committed and no group is left from now on.
      await castellan.router.stop()
      await webhooks.close(1)
      await castellan.close({ timeoutMs: 0 })
    }
    const end = async ({ castellan, webhooks }: Gateway): Promise<void> => {
      await webhooks.close(1_000)
      await castellan.close({ timeoutMs: 5_000 })
    }
    const writer = await stage.library()
    const gateways = [await start(), await start()]
    stage.keep(gateways, () => Promise.all(gateways.map(end)))
    const [metadata] = (await writer.verbs.topics([topic], 5_000)).values()
    const write = async (): Promise<void> => {
      for (let written = 0; written < RECORDS; written += KEYS) {
        const number = written / KEYS
        const records = Array.from({ length: KEYS }, (_, at) => ({ topic, key: `k${at}`, value: `k${at}:${number}` }))
        const delivered = await writer.produceOrThrow(records)
        delivered.forEach(({ partition, offset }, at) => {
          history.wrote(records[at]!.key, records[at]!.value, `${metadata!.topicId}-${partition}-${offset}`)
        })
      }
    }
    // The records are known before they are sent.
    gateways.forEach(({ webhooks }) => webhooks.configure([hook({ topic, deadLetters: dead, paused: true })]))
    await write()
    gateways.forEach(({ webhooks }) => webhooks.configure([hook({ topic, deadLetters: dead })]))
    const startedAt = performance.now()
    for (let kills = 0; kills < KILLS; kills++) {
      console.log({ kills, missing: history.missing.length })
      await sleep(500 + Math.random() * 1_500)
      const at = Math.floor(Math.random() * gateways.length)
      const partition = Math.floor(Math.random() * PARTITIONS)
      const { nodeIds } = stage.cluster
      await stage.cluster.moveLeader(topic, partition, nodeIds[Math.floor(Math.random() * nodeIds.length)]!)
      if (kills === 2) {
        isAway = true
        await sleep(AWAY_MS)
        isAway = false
      }
      await kill(gateways[at]!)
      gateways[at] = await start()
      if (kills % 3 === 1) {
        await end(gateways[1 - at]!)
        gateways[1 - at] = await start()
      }
    }
    const poison = history.written.find((_, at) => Math.floor(at / KEYS) === 20 && at % KEYS === 7)!
    const reader = writer.read(dead, { follow: true })
    void (async () => {
      for await (const { headers } of reader)
        history.gaveUp(String(headers.find(({ key }) => key === 'castellan-webhook-id')?.value))
    })()
    let before = -1
    const statuses = () => gateways.map(({ webhooks }) => statusOf(webhooks))
    while (history.missing.length > 0) {
      await sleep(1_000)
      if (history.missing.length === before) continue
      before = history.missing.length
      console.log({ missing: before })
    }
    const attempts = [...history.attempts.values()].reduce((sum, times) => sum + times, 0)
    const doubled = history.doubled
    console.log({
      records: RECORDS,
      tookMs: Math.round(performance.now() - startedAt),
      attempts,
      doubled,
      dead: history.dead.size,
      early: history.early.length
    })
    expect(history.confused).to.deep.equal([])
    expect(history.early).to.deep.equal([])
    expect([...history.dead]).to.deep.equal([poison])
    expect(history.written).to.have.length(RECORDS)
    expect(statuses().reduce((sum, { totals }) => sum + totals.lost, 0)).to.equal(0)
    // All of it is committed.
    const lags = async () =>
      (await writer.verbs.groups.offsets('castellan-webhook-hook', topic, 5_000))!.map(
        ({ latest, committed }) => latest - (committed?.offset ?? 0)
      )
    while ((await lags()).some(lag => lag > 0)) await sleep(100)
    await reader.return?.()
  })
})
