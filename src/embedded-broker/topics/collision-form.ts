/** Two names that differ only in `.` and `_` would share their metrics, so Kafka refuses the second. */
export const collisionForm = (name: string): string => name.replaceAll('.', '_')
