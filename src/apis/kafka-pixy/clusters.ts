import type { Gateway } from '../../gateway/gateway.js'

/** The cluster of requests that name none. */
export const DEFAULT_CLUSTER = 'default'

/** Gateways by the names that requests may use. @param alias another name of the default cluster */
export function withAlias(
  gateways: ReadonlyMap<string, Gateway>,
  alias: string | undefined
): ReadonlyMap<string, Gateway> {
  const main = gateways.get(DEFAULT_CLUSTER)
  return alias === undefined || main === undefined ? gateways : new Map([...gateways, [alias, main]])
}
