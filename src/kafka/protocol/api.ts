import type { RequestWriter } from './request-writer.js'
import type { ResponseReader } from './response-reader.js'

/** One call of Kafka's protocol in one version. */
export interface Api<Call, Response extends { readonly throttleTimeMs: number }> {
  readonly key: number
  readonly version: number
  /** As Kafka names it. */
  readonly name: string
  /** Requests and responses have the compact encoding and tagged fields of KIP-482, in their headers too. */
  readonly isFlexible?: true
  /** The version to use with a broker that does not have this one, or for a call that it cannot express. */
  readonly older?: Api<Call, Response>
  /** False for a call that this version cannot express. Default: every call. */
  canExpress?(call: Call): boolean
  /** @throws InvalidRequestError when the call cannot be expressed */
  encode(writer: RequestWriter, call: Call): void
  /** @throws ProtocolError when the bytes are no such response */
  decode(reader: ResponseReader, call: Call): Response
}

/** The partitions of each topic together, topics in order of their first mention. */
export function byTopic<T extends { readonly topic: string }>(items: readonly T[]): [topic: string, items: T[]][] {
  const topics = new Map<string, T[]>()
  for (const item of items) {
    const of = topics.get(item.topic)
    if (of !== undefined) of.push(item)
    else topics.set(item.topic, [item])
  }
  return [...topics]
}
