import { HoldingProxy, type ProxiedConnection } from './holding-proxy.js'

/** Size, correlation id and error code of an answer to ApiVersions in its versions 0 to 2; then the number of calls. */
const COUNT_AT = 10
const ENTRY_BYTES = 6
/** No call has this key. */
const NO_KEY = 0x7ffe

/**
 * A proxy before a broker that takes calls out of its answer to ApiVersions, as those of hosted Kafkas that do not offer them.
 * ApiVersions is the first call of each connection.
 *
 * @param target where the broker listens @param at where its clients find it @param keys of the calls
 */
export async function hideCalls(
  target: { readonly host?: string; readonly port: number },
  at: { readonly host?: string; readonly port?: number },
  keys: ReadonlySet<number>
): Promise<HoldingProxy> {
  const proxy = await HoldingProxy.start(target, at)
  const answered = new WeakSet<ProxiedConnection>()
  proxy.onBytes = (connection, direction, bytes) => {
    if (direction === 'toServer' || answered.has(connection)) return
    answered.add(connection)
    const end = COUNT_AT + 4 + bytes.readInt32BE(COUNT_AT) * ENTRY_BYTES
    for (let entry = COUNT_AT + 4; entry < end; entry += ENTRY_BYTES)
      if (keys.has(bytes.readInt16BE(entry))) bytes.writeInt16BE(NO_KEY, entry)
  }
  return proxy
}
