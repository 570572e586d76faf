// The emergency stop: a button for those who have the right to it, and a question before it is sent.

const byId = (id) => document.getElementById(id);

export class EmergencyStop {
  constructor(send, notice) {
    Object.assign(this, { send, notice });
    this.rights = { stop: false, why: "" };
    this.hello = null;
    byId("stop").addEventListener("click", () => this.ask());
    byId("confirm").addEventListener("close", () => this.confirmed(byId("confirm").returnValue));
  }

  show(hello, rights, connected) {
    Object.assign(this, { hello: hello ?? this.hello, rights: rights ?? this.rights, connected });
    const button = byId("stop");
    button.hidden = !this.hello?.stops;
    button.disabled = !(this.rights.stop && connected);
    button.title = connected ? this.rights.why : "not connected";
  }

  ask() {
    byId("confirm-title").textContent = `Stop ${this.hello.title}?`;
    byId("confirm-text").textContent =
      "The stimulus in progress is interrupted, those that wait are dropped, and the device returns to rest. " +
      "Its controller is cut off. It stays stopped until `inmateria release`.";
    byId("confirm").returnValue = "no";
    byId("confirm").showModal();
  }

  confirmed(answer) {
    if (answer !== "yes") return;
    this.notice("Stopping; waiting for the device to confirm it.");
    this.send({ type: "stop", title: this.hello.title });
  }

  // Take the answer to a stop.
  answer({ done, error }) {
    this.notice(done ? "The device has confirmed that it stopped." : `The stop was not confirmed: ${error}`);
  }
}
