/**
 * The time limit for silent clients of an API, whatever they wait for. The plugin of the API sets it before the ports
 * of the API open. It holds for all connections of these ports; on other ports, from the first request of the API until
 * a request of another API.
 *
 * Only what clients send counts, and on an upgraded connection also what they are sent.
 */
export class SilenceLimit {
  /** `undefined`: no limit but those of `http`. */
  limitMs: number | undefined
  /** Called for every connection that is ended for its silence. */
  onEnd: () => void = () => undefined
}
