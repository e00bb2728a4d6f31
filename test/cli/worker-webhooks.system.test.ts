import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { ownerOf } from '../../src/deployment/verbs/shared-verbs.js'
import { groupOfWebhook } from '../../src/webhooks/definition.js'
import { freePorts } from '../runs/real-kafka/ports.js'
import { Children, Gateway } from './child.js'
import { type Client, clientsOf, TWO } from './workers.js'

const WORKERS = [1, 2]

/** The webhooks of a gateway of several processes. */
describe('webhooks of castellan serve --workers', function () {
  this.timeout(120_000)
  const children = new Children()
  const endpoint = createServer((request, response) => {
    seen.push(String(request.headers['webhook-id']))
    response.writeHead(204).end()
  })
  const seen: string[] = []
  before(() => new Promise<void>(resolve => endpoint.listen(0, '127.0.0.1', resolve)))
  after(() => endpoint.close())
  afterEach(() => children.stopAll())

  /** A name that begins like this, of a webhook that this worker runs. */
  const nameAt = (worker: number, beginning: string): string => {
    for (let nth = 1; ; nth++) {
      const name = `${beginning}-${nth}`
      if (ownerOf('default', groupOfWebhook(name), WORKERS.length) === worker) return name
    }
  }

  it('call no port of the gateway, nor that of management, which another process has', async () => {
    const [port, management] = await freePorts(2)
    const urls = {
      management: `http://127.0.0.1:${management}/health-check`,
      elsewhere: `http://127.0.0.2:${management}/`,
      shared: `http://127.0.0.1:${port}/`,
      endpoint: `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/`
    }
    const webhooks = WORKERS.flatMap(worker =>
      Object.entries(urls).map(([of, url]) => ({ of, name: nameAt(worker, of), url }))
    )
    const flags = webhooks.flatMap(({ name, url }) => ['--webhook', `${name}=${url}`])
    const ports = ['--port', String(port), '--management-port', String(management)]
    const gateway = await Gateway.start(children, [...TWO, ...ports, ...flags])
    await gateway.until(200)
    const [client] = clientsOf(gateway.url, 1)
    const told = await Promise.all(webhooks.map(async ({ of, name }) => [of, await testOf(client!, name)]))
    client!.close()
    const refused = { cause: 'address' }
    expect(told).to.deep.equal(
      WORKERS.flatMap(() => [
        ['management', refused],
        // Nothing listens there.
        ['elsewhere', { cause: 'refused' }],
        ['shared', refused],
        ['endpoint', { status: 204 }]
      ])
    )
    expect(seen).to.have.length(WORKERS.length)
    expect(await gateway.child.stop()).to.equal(0)
  })
})

/** What became of a request that tests a webhook. Its worker may not know it yet. */
async function testOf(client: Client, name: string): Promise<object> {
  for (;;) {
    const { status, text } = await client.post(`/webhooks/${name}/test`, {})
    if (status === 503 || status === 429) {
      await sleep(50)
      continue
    }
    const { status: answer, cause } = JSON.parse(text) as { readonly status?: number; readonly cause?: string }
    return cause === undefined ? { status: answer } : { cause }
  }
}
