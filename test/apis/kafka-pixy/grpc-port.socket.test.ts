import { expect } from 'chai'
import { GrpcPort } from '../../../src/apis/kafka-pixy/grpc/server.js'
import { ListenError } from '../../../src/core/listen-error.js'
import { callCounts } from '../../support/api-context.js'

describe('kafka-pixy: the port of gRPC', () => {
  const ports: GrpcPort[] = []
  afterEach(() => {
    for (const port of ports.splice(0)) port.drain()
  })

  const listen = (host: string, port: number): Promise<number> => {
    const opened = new GrpcPort(callCounts(), 10, undefined, () => undefined)
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
})
