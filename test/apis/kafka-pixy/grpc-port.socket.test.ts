import { connect, performServerHandshake } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { GrpcPort } from '../../../src/apis/kafka-pixy/grpc/port.js'
import { ListenError } from '../../../src/core/listen-error.js'
import { TestAuthority } from '../../support/access.js'
import { callCounts } from '../../support/api-context.js'

describe('kafka-pixy: the port of gRPC', () => {
  const ports: GrpcPort[] = []
  afterEach(() => {
    for (const port of ports.splice(0)) port.drain()
  })

  const listen = (host: string, port: number): Promise<number> => {
    const opened = new GrpcPort({
      maxConnections: 10,
      prefaceMs: 10_000,
      calls: callCounts(),
      tls: undefined,
      accept: () => undefined
    })
    return opened.listen(host, port).then(bound => {
      ports.push(opened)
      return bound
    })
  }
  const failure = (host: string, port: number): Promise<Error> =>
    listen(host, port).then(
      () => expect.fail('it listens'),
      reason => reason as Error
    )

  it('says that it is taken, and the setting to change; a supervisor may try again', async () => {
    const taken = await listen('127.0.0.1', 0)
    const error = await failure('127.0.0.1', taken)
    expect(error).to.be.instanceOf(ListenError)
    expect(error.message).to.equal(
      `port ${taken} on 127.0.0.1 is taken; choose another with apis.kafka-pixy.grpcPort (0 means any free one)`
    )
  })

  it('says that the machine does not have the address', async () => {
    expect((await failure('192.0.2.1', 0)).message).to.equal(
      'cannot listen on 192.0.2.1 (EADDRNOTAVAIL); choose another address with apis.kafka-pixy.grpcHost'
    )
  })

  it('leaves a client over TLS alone that speaks HTTP/2 and asks nothing', async () => {
    const authority = new TestAuthority()
    const options = authority.issue({ commonName: 'gateway', alternativeNames: ['IP:127.0.0.1'] })
    const secure = new GrpcPort({
      maxConnections: 10,
      prefaceMs: 200,
      calls: callCounts(),
      tls: { options, serve: () => undefined },
      accept: socket => void performServerHandshake(socket)
    })
    ports.push(secure)
    const client = connect(`https://127.0.0.1:${await secure.listen('127.0.0.1', 0)}`, { ca: authority.cert })
    await new Promise((resolve, reject) => client.once('remoteSettings', resolve).once('error', reject))
    await sleep(500)
    expect([client.destroyed, [...secure.connections].map(({ hasSpoken }) => hasSpoken)]).to.deep.equal([false, [true]])
    client.destroy()
  })
})
