import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { freshTopic } from '../../support/target-cluster.js'
import { GatewayProcess } from './gateway-process.js'
import { runningKafka } from './shared-cluster.js'

/** A gateway removes what has expired when it has looked; it has two requests, and this time. */
const SETTLE_MS = 1_000

describe('consumer instances of gateways whose clocks differ by 20 minutes, on real Kafka', function () {
  this.timeout(60_000)
  const gateways: GatewayProcess[] = []
  after(() => gateways.forEach(({ process }) => void process.kill('SIGKILL')))

  const ask = async ({ url }: GatewayProcess, method: string, path: string, body?: object): Promise<number> => {
    const headers = { accept: 'application/vnd.kafka.v2+json, application/vnd.kafka.binary.v2+json' }
    const sent = body && { body: JSON.stringify(body), headers: { 'content-type': 'application/vnd.kafka.v2+json' } }
    const answer = await fetch(`${url}/confluent${path}`, { method, headers, ...sent })
    await answer.arrayBuffer()
    return answer.status
  }

  it('stay while their gateways are there, whichever clock is ahead', async () => {
    const { workspace, bootstrap } = runningKafka()
    const [topic, group] = [freshTopic('clocks'), freshTopic('clocks-group')]
    await runningKafka().createTopic(topic, 1)
    const log = ['--set', `advanced.consumer.instancesTopic=${freshTopic('instances')}`]
    const path = (at: number): string => `/consumers/${group}/instances/one-${at}`
    const starting = [0, 20, -20, 0].map(minutes => GatewayProcess.withClock(minutes, workspace, bootstrap, ...log))
    gateways.push(...(await Promise.all(starting)))
    // Each one reads, with its first request, what those before it have written. They do not know each other.
    for (const [at, gateway] of gateways.entries()) {
      const settings = { name: `one-${at}`, format: 'binary' }
      expect(await ask(gateway, 'POST', `/consumers/${group}`, settings)).to.equal(200)
      const assigned = { partitions: [{ topic, partition: 0 }] }
      expect(await ask(gateway, 'POST', `${path(at)}/assignments`, assigned)).to.equal(204)
    }
    await pass(SETTLE_MS)
    const statuses: unknown[] = []
    for (const [at, gateway] of gateways.entries()) {
      // An unknown name is looked for at the end of the topic.
      const unknown = await ask(gateway, 'GET', `/consumers/${group}/instances/none/assignments`)
      statuses.push([unknown, await ask(gateway, 'GET', `${path(at)}/records?timeout=100`)])
    }
    expect(statuses).to.deep.equal(gateways.map(() => [404, 200]))
    const dates = await Promise.all(gateways.map(async ({ url }) => (await fetch(url)).headers.get('date')!))
    const [right, ahead, behind] = dates.map(Date.parse) as [number, number, number]
    expect(Math.round((ahead - right) / 60_000)).to.equal(20)
    expect(Math.round((behind - right) / 60_000)).to.equal(-20)
    for (const gateway of gateways) expect(gateway.log()).to.not.contain('are removed')
  })
})
