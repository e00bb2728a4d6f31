import { expect } from 'chai'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../../src/server/app/app.js'
import { freePorts } from '../../runs/real-kafka/ports.js'
import { startTestApp } from '../../support/test-app.js'

describe('/ready', () => {
  it('answers 200 only once requests can be sent', async () => {
    const cluster = await startEmbeddedCluster()
    const [port, managementPort] = await freePorts(2)
    const starting = startTestApp(cluster.bootstrap, { 'http.port': `${port}`, 'management.port': `${managementPort}` })
    try {
      while (!(await isReady(managementPort!))) await new Promise(setImmediate)
      const answer = await fetch(`http://127.0.0.1:${port}/kprf/push`).catch((error: Error) => error)
      expect(answer, String((answer as Error).cause)).not.to.be.an('error')
    } finally {
      await (await starting).stop()
      await cluster.close()
    }
  })
})

describe('while Kafka is away', () => {
  let app: App
  afterEach(() => app.stop())

  const ask = async (path: string): Promise<{ status: number; reasons: string[]; warnings: string[] }> => {
    const answer = await fetch(`${app.urls.management}${path}`)
    const { reasons, warnings } = (await answer.json()) as { reasons: string[]; warnings: string[] }
    return { status: answer.status, reasons, warnings }
  }
  const gauges = async (): Promise<string[]> =>
    (await (await fetch(`${app.urls.management}/metrics`)).text()).match(/^castellan_ready\S* \d$/gm) ?? []
  const accept = (): Promise<number> =>
    fetch(`${app.urls.shared}/arion/async/orders`, { method: 'POST', body: 'x'.repeat(60_000) }).then(
      ({ status }) => status
    )

  it('a gateway with a durable route is ready, as it accepts records, and only /ready/kafka is not', async () => {
    app = await startTestApp('127.0.0.1:1')
    expect(await accept()).to.equal(202)
    const { status, reasons, warnings } = await ask('/ready')
    expect([status, reasons]).to.deep.equal([200, []])
    expect(warnings.join()).to.match(/^no broker of cluster default answers/)
    const kafka = await ask('/ready/kafka')
    expect(kafka.status).to.equal(503)
    expect(kafka.reasons.join()).to.match(/^no broker of cluster default answers/)
    expect(await gauges()).to.deep.equal(['castellan_ready 1', 'castellan_ready_kafka 0'])
  })

  it('a gateway with a durable route is not ready once its log refuses records', async () => {
    app = await startTestApp('127.0.0.1:1', { 'wal.maxBytes': '1048576', 'advanced.wal.segmentBytes': '65536' })
    while ((await accept()) === 202);
    const { status, reasons } = await ask('/ready')
    expect(status).to.equal(503)
    expect(reasons.join()).to.match(/^no broker of cluster default answers.*,the durable log holds its limit/)
  })

  it('a gateway whose routes keep records in memory is not ready', async () => {
    app = await startTestApp('127.0.0.1:1', { 'apis.arion.durability': 'memory' })
    for (const path of ['/ready', '/ready/kafka']) {
      const { status, reasons, warnings } = await ask(path)
      expect([status, warnings], path).to.deep.equal([503, []])
      expect(reasons.join(), path).to.match(/^no broker of cluster default answers/)
    }
    expect(await gauges()).to.deep.equal(['castellan_ready 0', 'castellan_ready_kafka 0'])
  })
})

async function isReady(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined)
  await answer?.arrayBuffer()
  return answer?.status === 200
}
