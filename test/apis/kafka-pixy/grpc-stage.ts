import { type ChannelCredentials, type Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { type GrpcRequestFields, loadDefinition } from '../../../src/apis/kafka-pixy/grpc/protocol.js'
import type { App } from '../../../src/server/app/app.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { startTestApp } from '../../support/test-app.js'

type Call = (
  request: object,
  metadata: Metadata,
  done: (error: ServiceError | null, answer: object) => void
) => {
  cancel(): void
}

/** A whole gateway with the service, and a client of it over the wire. */
export class GrpcStage {
  readonly app: App
  readonly address: string
  readonly client: Client

  private constructor(app: App, address: string, client: ChannelCredentials) {
    this.app = app
    this.address = address
    this.client = new (loadDefinition())(address, client)
  }

  static async start(
    bootstrap: string,
    settings: Readonly<Record<string, string>> = {},
    client = credentials.createInsecure()
  ): Promise<GrpcStage> {
    const lines: LogLine[] = []
    const all = { 'apis.kafka-pixy.grpcPort': '0', 'consumer.longPollMs': '1000', ...settings }
    const app = await startTestApp(bootstrap, all, recordingLogger(lines))
    return GrpcStage.of(app, lines, client)
  }

  /** A client of a gateway that has logged these lines. */
  static of(app: App, lines: readonly LogLine[], client = credentials.createInsecure()): GrpcStage {
    const { port } = lines.find(({ message }) => message.includes('gRPC'))!.fields as { port?: number }
    return new GrpcStage(app, `127.0.0.1:${port}`, client)
  }

  /** Another client of the same gateway. */
  other(client: ChannelCredentials): GrpcStage {
    return new GrpcStage(this.app, this.address, client)
  }

  ask(
    name: string,
    request: Partial<GrpcRequestFields>,
    { metadata = new Metadata(), cancelled }: { metadata?: Metadata; cancelled?: Promise<unknown> } = {}
    // biome-ignore lint/suspicious/noExplicitAny: tests compare it
  ): Promise<any> {
    const method = (this.client as unknown as Record<string, Call>)[name]!
    return new Promise((resolve, reject) => {
      const call = method.call(this.client, request, metadata, (error, answer) =>
        error ? reject(error) : resolve(answer)
      )
      cancelled?.then(() => call.cancel())
    })
  }

  /** `5: Unknown topic` */
  async refusal(asked: Promise<unknown>): Promise<string> {
    const error = await asked.then(
      answer => ({ code: status.OK, details: JSON.stringify(answer) }),
      (thrown: ServiceError) => thrown
    )
    return `${error.code}: ${error.details}`
  }

  async stop(): Promise<void> {
    this.client.close()
    await this.app.stop()
  }
}
