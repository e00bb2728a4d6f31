import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { z } from 'zod'
import { LongList } from '../../../http/api/long-lists.js'
import { isOnOwnPort } from '../../../http/exchange/exchange.js'

/** A resource of version 3 or a list of them, as JSON. */
export type Resource = Readonly<Record<string, unknown>>

export const text = z.string()
const related = z.object({ related: text })

/** A member of a resource: its schema, and its value; `undefined`: it is left out. @param path of the resource */
type ResourceMember<One> = readonly [schema: z.ZodType, toValue: (one: One, path: string, links: Links) => unknown]
export type Members<One> = Readonly<Record<string, ResourceMember<One>>>

/** A link to another resource. @param to its path below the cluster */
export const link = <One>(to: (one: One, path: string) => string): ResourceMember<One> => [
  related,
  (one, path, links) => links.related(to(one, path))
]

/** @param to `undefined`: there is no link */
export const linkIfAny = <One>(to: (one: One, path: string) => string | undefined): ResourceMember<One> => [
  related.optional(),
  (one, path, links) => {
    const target = to(one, path)
    return target && links.related(target)
  }
]

export interface ResourceKind<One> {
  readonly name: string
  /** The kind of lists is this with `List` behind it. Absent: the name is. */
  readonly ofLists?: string | undefined
  readonly schema: z.ZodType
  json(one: One, links: Links): Resource
}

/** The place of a resource below the cluster: `['topics', 'orders', 'partitions', 0]`. */
export type ResourcePlace = readonly (string | number)[]

/** `/topics/orders/partitions/0` */
export const pathOf = (place: ResourcePlace): string => place.map(one => `/${part(one)}`).join('')

/** Identifies a resource in the cluster: `/topic=orders/partition=0`. */
const idOf = (place: ResourcePlace): string =>
  place
    .map((one, at) => {
      if (at % 2 === 1) return `=${one}`
      if (one === 'offset') return '/offset_type=earliest_and_latest'
      return `/${at + 1 < place.length ? String(one).replace(/s$/, '') : one}`
    })
    .join('')

export function kind<One>(
  name: string,
  placeOf: (one: One) => ResourcePlace,
  members: Members<One>,
  ofLists?: string
): ResourceKind<One> {
  const all = Object.entries(members)
  return {
    name,
    ofLists,
    schema: z.object({
      kind: z.literal(name),
      metadata: z.object({ self: text, resource_name: text }),
      cluster_id: text,
      ...Object.fromEntries(all.map(([member, [schema]]) => [member, schema]))
    }),
    json(one, links) {
      const place = placeOf(one)
      const path = pathOf(place)
      const json: Record<string, unknown> = {
        kind: name,
        metadata: { self: links.url(path), resource_name: `crn:///kafka=${links.clusterId}${idOf(place)}` },
        cluster_id: links.clusterId
      }
      for (const [member, [, toValue]] of all) json[member] = toValue(one, path, links)
      return json
    }
  }
}

export const listOf = (one: z.ZodType) =>
  z.object({ kind: text, metadata: z.object({ self: text, next: text.nullable() }), data: z.array(one) })

/** The URLs of one cluster. */
export class Links {
  readonly #base: string
  readonly clusterId: string

  /** @param base the URL of the API, without a slash at its end */
  constructor(base: string, clusterId: string) {
    this.#base = base
    this.clusterId = clusterId
  }

  /** @param path below the cluster: `/topics/orders`; the empty string: the cluster itself */
  url(path: string): string {
    return `${this.#base}/v3/clusters/${part(this.clusterId)}${path}`
  }

  related(path: string): { readonly related: string } {
    return { related: this.url(path) }
  }

  /** @param path of the route, with the names of its parameters */
  list<One>(
    of: ResourceKind<One>,
    path: string,
    params: Readonly<Record<string, string>>,
    all: Iterable<One> | AsyncIterable<One>
  ): LongList {
    const toValue = (name: string): string => {
      if (name === 'cluster_id') return this.clusterId
      const value = params[name] ?? ''
      return name === 'partition_id' ? String(Number(value)) : value
    }
    const self = this.#base + path.replace(/\{(\w+)\}/g, (_, name: string) => part(toValue(name)))
    const before = JSON.stringify({ kind: `${of.ofLists ?? of.name}List`, metadata: { self, next: null } })
    return new LongList(of.name, `${before.slice(0, -1)},"data":[`, this.#resources(of, all), ']}')
  }

  async *#resources<One>(of: ResourceKind<One>, all: Iterable<One> | AsyncIterable<One>): AsyncIterable<Resource> {
    for await (const one of all) yield of.json(one, this)
  }
}

const HOST = /^[\w.:[\]-]+$/

/** The URL of the API as the client has reached it. @param prefix that of the API on the shared port */
export function baseUrlOf(request: IncomingMessage, prefix: string): string {
  const { host = '' } = request.headers
  const { encrypted, localAddress, localPort } = request.socket as TLSSocket
  const authority = HOST.test(host) ? host : `${localAddress}:${localPort}`
  return `${encrypted === true ? 'https' : 'http'}://${authority}${isOnOwnPort({ request }) ? '' : prefix}`
}

/** `PreparingRebalance` => `PREPARING_REBALANCE` */
export const upperSnake = (name: string): string => name.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase()

/** A name as it stands in a URL. */
export const part = encodeURIComponent
