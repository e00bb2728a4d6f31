import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { LongList } from '../long-lists.js'

/** A resource of version 3 or a list of them, as JSON. */
export type Resource = Readonly<Record<string, unknown>>

/** Links to resources of one cluster, and resources with their links. */
export class Links {
  readonly #base: string
  readonly clusterId: string

  /** @param base the URL of the API, without a slash at its end */
  constructor(base: string, clusterId: string) {
    this.#base = `${base}/v3/clusters`
    this.clusterId = clusterId
  }

  /** @param path below the cluster: `/topics/orders`; the empty string: the cluster itself */
  url(path: string): string {
    return `${this.#base}/${encodeURIComponent(this.clusterId)}${path}`
  }

  related(path: string): { readonly related: string } {
    return { related: this.url(path) }
  }

  /** @param name what identifies the resource in the cluster: `/topic=orders` */
  resource(kind: string, path: string, name: string, members: Resource): Resource {
    const metadata = { self: this.url(path), resource_name: `crn:///kafka=${this.clusterId}${name}` }
    return { kind, metadata, cluster_id: this.clusterId, ...members }
  }

  list(kind: string, path: string, data: readonly Resource[]): Resource {
    return { kind: `${kind}List`, metadata: { self: this.url(path), next: null }, data }
  }

  /** A list of all topics or groups, or of what they have. */
  longList(kind: string, path: string, data: LongList['items']): LongList {
    const empty = JSON.stringify(this.list(kind, path, []))
    const end = empty.length - ']}'.length
    return new LongList(kind, empty.slice(0, end), data, empty.slice(end))
  }

  /** The list of clusters has no cluster in its URL. */
  clusters(data: readonly Resource[]): Resource {
    return { kind: 'KafkaClusterList', metadata: { self: this.#base, next: null }, data }
  }
}

const HOST = /^[\w.:[\]-]+$/

/** The URL of the API as the client has reached it. @param prefix that of the API on the shared port */
export function baseUrlOf(request: IncomingMessage, prefix: string): string {
  const { host = '' } = request.headers
  const { encrypted, localAddress, localPort } = request.socket as TLSSocket
  // On the port of its own the server has put the prefix in front.
  const isOwnPort = (request as { originalUrl?: string }).originalUrl !== undefined
  const authority = HOST.test(host) ? host : `${localAddress}:${localPort}`
  return `${encrypted === true ? 'https' : 'http'}://${authority}${isOwnPort ? '' : prefix}`
}

/** A name as it stands in a URL. */
export const part = encodeURIComponent
