import type { ApiCommand } from '../command.js'

/** `castellan arion`: Arion's API by Arion's environment variables. */
export const arionCommand: ApiCommand = {
  name: 'arion',
  summary: "runs Arion's API alone, by Arion's environment variables",
  flags: [
    { flags: '-p, --port <PORT>', description: "Arion's port (default: ARION_PORT, else 80)" },
    { flags: '--embedded', description: 'the embedded broker, and not KAFKA_BOOTSTRAP' }
  ],
  notes:
    'Variables: ARION_PORT, ARION_IDLE_TIMEOUT, ARION_FSYNC_PUT, ARION_FSYNC_TAKE, ARION_FSYNC_THRESHOLD,\n' +
    'ARION_FSYNC_INTERVAL, ARION_SLAB_SIZE, ARION_QUEUE_PATH, ARION_MAX_MESSAGE_SIZE, ARION_SYNC_TIMEOUT,\n' +
    'KAFKA_BOOTSTRAP, STATSD_HOST and STATSD_PORT, with the defaults of Arion. It listens on 127.0.0.1 only, unless\n' +
    'clients can authenticate or --allow-anonymous is given.',
  examples: [
    'castellan arion --allow-anonymous',
    'ARION_PORT=8000 KAFKA_BOOTSTRAP=kafka-1:9092 castellan arion',
    'ARION_QUEUE_PATH=./queue castellan arion --embedded --port 8000'
  ],
  translate: async given => (await import('./environment.js')).translateArion(given)
}
