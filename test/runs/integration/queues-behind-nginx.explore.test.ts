import { Agent } from 'node:http'
import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { FrontProxy, isInstalled, type ProxyKind, proxyKinds } from '../../http/engine/proxies.js'
import { ApiStage } from '../../support/api-stage.js'
import { HoldingProxy, type ProxiedConnection } from '../../support/holding-proxy.js'
import { ask } from '../deploy/two-gateways.js'

const nginx = proxyKinds.find(({ name }) => name === 'nginx')!

/** nginx that repeats any request whose connection to `first` breaks before the answer, at `second`. */
const repeating = (first: number, second: string): ProxyKind => ({
  ...nginx,
  config: folder => `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path ${folder}/client;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  upstream gateway { server 127.0.0.1:${first} max_fails=0; server ${second} backup; }
  server {
    listen unix:${folder}/front;
    location / {
      proxy_pass http://gateway;
      proxy_set_header Host localhost;
      proxy_next_upstream error timeout non_idempotent;
    }
  }
}
`
})

interface Message {
  readonly token: string
  readonly value: string
  readonly deliveryCount: number
}

class QueuesStage extends ApiStage {
  static async open(): Promise<QueuesStage> {
    return new QueuesStage(await ApiStage.opened('queues', {}), 'queues')
  }
}

describe('a queue behind nginx that repeats all requests', function () {
  this.timeout(120_000)
  const agent = new Agent()
  let stage: QueuesStage
  let between: HoldingProxy
  let front: FrontProxy
  let topic: string
  let path: string

  before(async function () {
    if (!isInstalled(nginx)) this.skip()
    stage = await QueuesStage.open()
    const gateway = new URL(stage.app.urls.shared)
    between = await HoldingProxy.start({ port: Number(gateway.port) })
    front = await FrontProxy.start(repeating(between.port, gateway.host), gateway)
  })
  beforeEach(async () => {
    topic = await stage.topic(1)
    path = `/queues/${topic}/${stage.group()}`
    const settings = { start: 'earliest', lockMs: 15_000, deliveryLimit: 10 }
    expect((await direct('PATCH', '', settings)).status).to.equal(200)
  })
  afterEach(() => (between.onBytes = () => undefined))
  after(async () => {
    await front?.stop()
    await between?.close()
    await stage?.close()
  })

  /** Through nginx. */
  const send = (method: string, rest: string, body?: object): Promise<string> =>
    ask(agent, front.url.slice('unix:'.length), method, path + rest, body && JSON.stringify(body))
  const direct = async (method: string, rest: string, body?: object): Promise<Response> =>
    fetch(stage.app.urls.shared + path + rest, { method, ...(body && { body: JSON.stringify(body) }) })
  const write = async (data: string): Promise<void> => {
    const body = JSON.stringify({ records: [{ topic, partition: 0, data }], wait_for_send: true })
    const headers = { 'content-type': 'application/json' }
    expect((await fetch(`${stage.app.urls.shared}/kprf/push`, { method: 'POST', body, headers })).status).to.equal(200)
  }
  const messagesIn = (text: string): readonly Message[] => JSON.parse(text).messages
  const messagesOf = (answer: string): readonly Message[] => {
    expect(answer.slice(0, 4), answer).to.equal('200 ')
    return messagesIn(answer.slice(4))
  }
  const acquireDirectly = async (waitMs: number): Promise<readonly Message[]> =>
    messagesIn(await (await direct('POST', '/acquire', { encoding: 'text', waitMs })).text())
  const told = (messages: readonly Message[]): string[] =>
    messages.map(({ value, deliveryCount }) => `${value} ${deliveryCount}`)
  const lag = async (): Promise<unknown> => JSON.parse(await (await direct('GET', '')).text()).partitions[0].lag
  /** The connection of the next request. */
  const requested = (): Promise<ProxiedConnection> =>
    new Promise(resolve => {
      between.onBytes = (connection, direction) => direction === 'toServer' && resolve(connection)
    })
  /** The next answer does not arrive: its connection breaks. @returns whether it was so */
  const loseAnswer = (): (() => boolean) => {
    let isLost = false
    between.onBytes = (connection, direction) => {
      if (direction !== 'toClient' || isLost) return
      isLost = true
      connection.cut()
    }
    return () => isLost
  }

  it('gives a message to an acquire that is repeated while it waits, as its first delivery', async () => {
    const first = requested()
    const answer = send('POST', '/acquire', { encoding: 'text' })
    const connection = await first
    await pass(2_000)
    connection.cut()
    await pass(500)
    await write('a')
    const messages = messagesOf(await answer)
    expect(told(messages)).to.deep.equal(['a 1'])
    expect(await acquireDirectly(1_000)).to.deep.equal([])
    expect(await send('DELETE', `/messages/${messages[0]!.token}`)).to.equal('204 ')
    expect(await lag()).to.equal(0)
  })

  it('gives a message again when its lock ends, where an answer with it was lost', async () => {
    await write('a')
    const isLost = loseAnswer()
    const since = performance.now()
    const messages = messagesOf(await send('POST', '/acquire', { encoding: 'text', waitMs: 30_000 }))
    expect(isLost()).to.equal(true)
    expect(told(messages)).to.deep.equal(['a 2'])
    expect(performance.now() - since, 'milliseconds').to.be.within(13_000, 20_000)
    expect(await send('DELETE', `/messages/${messages[0]!.token}`)).to.equal('204 ')
    expect(await lag()).to.equal(0)
  })

  it('answers a repeated DELETE as the first one', async () => {
    await write('a')
    const [message] = messagesOf(await send('POST', '/acquire', { encoding: 'text' }))
    const isLost = loseAnswer()
    expect(await send('DELETE', `/messages/${message!.token}`)).to.equal('204 ')
    expect(isLost()).to.equal(true)
    expect(await send('DELETE', `/messages/${message!.token}`), 'of the client').to.equal('204 ')
    expect(await lag()).to.equal(0)
  })

  it('releases a message once where the settlement is repeated', async () => {
    await write('a')
    const [message] = messagesOf(await send('POST', '/acquire', { encoding: 'text' }))
    const next = acquireDirectly(20_000)
    const isLost = loseAnswer()
    const settled = await send('POST', '/settle', { release: [message!.token] })
    expect(settled).to.match(/^200 .*"outcome":"done"/)
    expect(isLost()).to.equal(true)
    const [second] = await next
    expect(told([second!])).to.deep.equal(['a 2'])
    expect(await send('POST', '/settle', { release: [message!.token] }), 'once more').to.match(
      /^200 .*"outcome":"done"/
    )
    expect(await send('POST', '/settle', { reject: [message!.token] })).to.match(/^207 .*"outcome":"lost"/)
    expect(await acquireDirectly(1_000), 'while the second client has it').to.deep.equal([])
    expect(await send('DELETE', `/messages/${second!.token}`)).to.equal('204 ')
    expect(await lag()).to.equal(0)
  })

  it('settles nothing by a DELETE that is held up until another client has the message', async () => {
    await write('a')
    const [message] = messagesOf(await send('POST', '/acquire', { encoding: 'text' }))
    // A request whose head takes 10 s is answered 408.
    await pass(10_000)
    const held = new Promise<ProxiedConnection>(resolve => {
      between.onBytes = (connection, direction) => {
        if (direction !== 'toServer') return
        connection.hold('toServer')
        resolve(connection)
      }
    })
    const late = send('DELETE', `/messages/${message!.token}`)
    const connection = await held
    const [second] = await acquireDirectly(30_000)
    expect(told([second!])).to.deep.equal(['a 2'])
    connection.release()
    expect(await late).to.match(/^410 /)
    expect((await direct('POST', '/settle', { release: [second!.token] })).status).to.equal(200)
    const [third] = await acquireDirectly(5_000)
    expect(told([third!]), 'not settled by the late one').to.deep.equal(['a 3'])
    between.onBytes = () => undefined
    expect(await send('DELETE', `/messages/${third!.token}`)).to.equal('204 ')
  })
})
