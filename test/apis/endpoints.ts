import { apis } from '../../src/apis/apis.js'
import type { ApiSettings, HttpApi } from '../../src/http/api/api.js'
import type { Operation } from '../../src/http/openapi/operation.js'

/** An operation of an API, by the name of both: `queues acquire`. */
export interface Endpoint {
  readonly name: string
  readonly api: HttpApi
  readonly operation: Operation
}

/** All endpoints of all APIs, with the default settings. */
export const endpoints: readonly Endpoint[] = apis.flatMap(listed => {
  const api = listed as HttpApi
  return api
    .operations(api.settings.parse({}) as ApiSettings)
    .map(operation => ({ name: `${api.name} ${operation.id}`, api, operation }))
})

const NUMBER = /partition|broker/i

/** The name of an endpoint that is served for the default cluster alone, and below the path of each cluster. */
export const withoutCluster = (name: string): string => name.replace(/OfCluster$/, '')

/** A path that the operation answers, below the prefix of its API: parameters are `t`, numbers 0. */
export const pathOf = ({ api: { prefix }, operation: { path } }: Endpoint): string =>
  prefix +
  path.replace(/\{(\w+)\}/g, (_, name: string) => (NUMBER.test(name) ? '0' : name === 'cluster' ? 'default' : 't'))
