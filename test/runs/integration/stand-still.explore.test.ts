import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import type { Gateway } from '../../cli/child.js'
import { onBroker } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const CLIENTS = 10
const PATIENCE_MS = 20_000

/** What a client does behind its request. */
type Behind = 'hangs up' | 'half-closes'

describe('a gateway that stands still', function () {
  this.timeout(300_000)
  const stage = onBroker()
  let gateway: Gateway
  before(async () => {
    gateway = await stage.gateway({})
    stage.keep(gateway, ({ child }) => child.process.kill('SIGCONT'))
  })

  const pathOf = (topic: string): string => `/pixy/topics/${topic}/messages?group=${topic}`

  /** @returns the value, or `undefined` where there is none within the long poll */
  async function consume(topic: string): Promise<string | undefined> {
    const answer = await fetch(gateway.url + pathOf(topic), { headers: { connection: 'close' } })
    if (answer.status !== 408) expect(answer.status).to.equal(200)
    const { value } = (await answer.json()) as { value?: string }
    return answer.status === 200 ? Buffer.from(value!, 'base64').toString() : undefined
  }

  async function produce(topic: string, values: readonly string[]): Promise<void> {
    const records = values.map(data => ({ topic, data }))
    const answer = await gateway.push({ records, wait_for_send: true })
    expect(answer.status).to.equal(200)
    await answer.arrayBuffer()
  }

  /** Requests that are in the sockets of a gateway which stands still, with what their clients do behind them. */
  async function askStopped(topic: string, behind: Behind, stillMs: number): Promise<string[]> {
    const { hostname, port, host } = new URL(gateway.url)
    gateway.child.process.kill('SIGSTOP')
    const answers: Promise<string>[] = []
    for (let at = 0; at < CLIENTS; at++) {
      const socket = connect(Number(port), hostname)
      await once(socket, 'connect')
      answers.push(readAll(socket))
      await new Promise(resolve => socket.write(`GET ${pathOf(topic)} HTTP/1.1\r\nhost: ${host}\r\n\r\n`, resolve))
      if (behind === 'hangs up') socket.destroy()
      else socket.end()
    }
    await pass(stillMs)
    gateway.child.process.kill('SIGCONT')
    return Promise.all(answers)
  }

  const readAll = (socket: Socket): Promise<string> =>
    new Promise(resolve => {
      let text = ''
      socket.on('data', bytes => (text += bytes.toString('latin1')))
      socket.on('error', () => undefined)
      socket.on('close', () => resolve(text))
    })

  const valuesIn = (answers: readonly string[]): string[] =>
    answers.flatMap(text => {
      const value = /"value": ?"([^"]*)"/.exec(text)?.[1]
      return value === undefined ? [] : [Buffer.from(value, 'base64').toString()]
    })

  for (const stillMs of [100, 300, 2_000])
    for (const behind of ['hangs up', 'half-closes'] as const)
      it(`for ${stillMs} ms loses no message of a client that ${behind} behind its request`, async () => {
        const topic = freshTopic('still')
        await stage.cluster.createTopic(topic, { partitions: 1, replicationFactor: 1 })
        // The group begins at the end: it has to be there before the first message.
        await consume(topic)
        await produce(topic, ['first'])
        for (const until = performance.now() + PATIENCE_MS; (await consume(topic)) === undefined; )
          expect(performance.now()).to.be.below(until)
        const values = Array.from({ length: CLIENTS }, (_, at) => `value ${at}`)
        await produce(topic, values)
        const given = valuesIn(await askStopped(topic, behind, stillMs))
        if (behind === 'half-closes') expect(given, 'served').to.have.lengthOf(CLIENTS)
        const later: string[] = []
        for (let value = await consume(topic); value !== undefined; value = await consume(topic)) later.push(value)
        expect([...given, ...later].sort()).to.deep.equal([...values].sort())
      })
})
