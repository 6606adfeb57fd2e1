export function registerType(): void {}
export function registerError(): void {}
