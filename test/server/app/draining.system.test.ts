import { Agent, createServer, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import sinon from 'sinon'
import type { App } from '../../../src/server/app/app.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { onBroker } from '../../support/stage.js'
import { startTestApp } from '../../support/test-app.js'

const CHECK_EVERY_MS = 20
/** Far longer than a busy machine needs for what has to happen meanwhile. */
const DRAIN_MS = '5000'
const BODY = '{"records":[{"topic":"orders","key":"k","data":"x"}],"wait_for_send":true}'

/** Spreads requests over those instances whose `/ready` answered 200 when it was last asked. */
class Balancer {
  readonly #server: Server
  readonly #agent = new Agent({ keepAlive: true })
  readonly #timer: NodeJS.Timeout
  #ready: App[] = []
  #turn = 0

  constructor(instances: readonly App[]) {
    this.#server = createServer((incoming, outgoing) => {
      const instance = this.#ready[this.#turn++ % this.#ready.length]!
      const { method, headers } = incoming
      const forwarded = request(
        `${instance.urls.shared}${incoming.url}`,
        { method, headers, agent: this.#agent },
        answer => {
          outgoing.writeHead(answer.statusCode!, { 'content-type': 'application/json' })
          answer.pipe(outgoing)
        }
      )
      forwarded.on('error', error => outgoing.writeHead(502).end(error.message))
      incoming.pipe(forwarded)
    })
    const check = async (): Promise<void> => {
      const answers = await Promise.all(
        instances.map(({ urls }) => fetch(`${urls.management}/ready`).catch(() => undefined))
      )
      this.#ready = instances.filter((_, at) => answers[at]?.status === 200)
      await Promise.all(answers.map(answer => answer?.arrayBuffer()))
    }
    this.#timer = setInterval(() => void check(), CHECK_EVERY_MS)
  }

  get readyCount(): number {
    return this.#ready.length
  }

  async listen(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    clearInterval(this.#timer)
    this.#agent.destroy()
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

describe('leaving without a crash', () => {
  const stage = onBroker()

  const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
    while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 5))
  }

  it('one of two instances stops under load, and no request fails', async () => {
    const settings = { 'shutdown.drainMs': DRAIN_MS, 'shutdown.graceMs': '20000' }
    const instances = [await startTestApp(stage.bootstrap, settings), await startTestApp(stage.bootstrap, settings)]
    const balancer = new Balancer(instances)
    const url = await balancer.listen()
    await until(() => balancer.readyCount === 2)
    const agent = new Agent({ keepAlive: true, maxSockets: 8 })
    const statuses: number[] = []
    let isLoading = true
    const push = (): Promise<number> =>
      new Promise((resolve, reject) => {
        const headers = { 'content-type': 'application/json', 'content-length': BODY.length }
        request(`${url}/kprf/push`, { method: 'POST', headers, agent }, (answer: IncomingMessage) => {
          answer.resume().on('end', () => resolve(answer.statusCode!))
        })
          .on('error', reject)
          .end(BODY)
      })
    const loads = Array.from({ length: 8 }, async () => {
      while (isLoading) statuses.push(await push())
    })
    try {
      await until(() => statuses.length > 100)
      expect(await instances[0]!.stop()).to.deep.equal({ lostRecords: 0 })
      expect(balancer.readyCount).to.equal(1)
      const sofar = statuses.length
      await until(() => statuses.length > sofar + 100)
    } finally {
      isLoading = false
      await Promise.all(loads)
      agent.destroy()
      balancer.close()
      await instances[1]!.stop()
    }
    expect(new Set(statuses)).to.deep.equal(new Set([200]))
  })

  it('serves on while /ready is 503, ends connections, and then closes the door', async () => {
    const app = await startTestApp(stage.bootstrap, { 'shutdown.drainMs': DRAIN_MS, 'shutdown.graceMs': '20000' })
    const ready = async (): Promise<number> => {
      const answer = await fetch(`${app.urls.management}/ready`)
      await answer.arrayBuffer()
      return answer.status
    }
    await until(async () => (await ready()) === 200)
    const stopped = app.stop()
    expect(await ready()).to.equal(503)
    const answer = await fetch(`${app.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: BODY
    })
    expect([answer.status, answer.headers.get('connection')]).to.deep.equal([200, 'close'])
    await stopped
    const refused = await fetch(`${app.urls.shared}/kprf/push`, { method: 'POST' }).catch(() => 'refused')
    expect(refused).to.equal('refused')
  })

  it('takes no more than half of the grace for it where no setting says more, and nothing by default', async () => {
    const lines: LogLine[] = []
    const log = recordingLogger(lines)
    // Longer than a test may take.
    const short = await startTestApp(stage.bootstrap, { 'shutdown.graceMs': '401' }, log, { drainMs: 600_000 })
    const byDefault = await startTestApp(stage.bootstrap, {}, log)
    const pauses = sinon.spy(globalThis, 'setTimeout')
    await short.stop()
    const lasted = pauses.args.map(([, ms]) => ms)
    pauses.restore()
    await byDefault.stop()
    expect(lasted).to.include(200)
    const stopping = lines.filter(({ message }) => message === 'stopping')
    expect(stopping.map(({ fields }) => (fields as { drainMs: number }).drainMs)).to.deep.equal([200, 0])
  })
})
