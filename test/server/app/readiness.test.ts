import { expect } from 'chai'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { freePorts } from '../../real-kafka/ports.js'
import { startTestApp } from '../../support/app-under-test.js'

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

async function isReady(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined)
  await answer?.arrayBuffer()
  return answer?.status === 200
}
